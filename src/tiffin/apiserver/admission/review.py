"""AdmissionReview: the question to an admission webhook and the answer to it, in admission.k8s.io/v1 and v1beta1. Pure.

An answer in v1 has to bear the uid of its question and to be of its kind; v1beta1 is believed without. Only JSON patches exist.
Source: API reference, AdmissionReview; apiserver `request.VerifyAdmissionResponse`, `errors.ToStatusErr`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object

VERSIONS = ("v1", "v1beta1")
_KIND = "AdmissionReview"


class InvalidAnswer(Exception):
    """An answer that is none to the question."""


class Verdict(NamedTuple):
    """What a webhook said. `patch` are the operations of a JSON patch, `result` the Status it explains a refusal with."""

    allowed: bool
    result: Mapping[str, Any]
    patch: list[Any]
    warnings: list[str]
    annotations: Mapping[str, str]


def version_for(accepted: Iterable[str]) -> str:
    """The first of the versions a webhook accepts that we speak; v1 where there is none, which validation prevents."""
    return next((version for version in accepted if version in VERSIONS), "v1")


def review_of(version: str, uid: str, request: Mapping[str, Any], obj: Object | None, old: Object | None) -> Object:
    """The question."""
    asked = {"uid": uid, **request, "object": obj, "oldObject": old}
    return {"kind": _KIND, "apiVersion": f"admission.k8s.io/{version}", "request": asked}


def verdict(answer: Any, version: str, uid: str, mutating: bool) -> Verdict:
    """The answer, checked; raises InvalidAnswer."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise InvalidAnswer("webhook response was absent")
    if version == "v1":
        _check_v1(answer, response, uid, mutating)
    patch = _patch(response) if mutating else []
    result, warnings, annotations = (response.get(name) for name in ("status", "warnings", "auditAnnotations"))
    return Verdict(
        response.get("allowed") is True,
        result if isinstance(result, dict) else {},
        patch,
        [text for text in warnings if isinstance(text, str)] if isinstance(warnings, list) else [],
        {k: v for k, v in annotations.items() if isinstance(v, str)} if isinstance(annotations, dict) else {},
    )


def _check_v1(answer: Mapping[str, Any], response: Mapping[str, Any], uid: str, mutating: bool) -> None:
    found = response.get("uid") or ""
    if found != uid:
        raise InvalidAnswer(f"expected response.uid={shown(uid)}, got {shown(found)}")
    group, _, version = str(answer.get("apiVersion") or "").rpartition("/")
    if (group, version, answer.get("kind")) != ("admission.k8s.io", "v1", _KIND):
        given = f"{group}/{version}, Kind={answer.get('kind') or ''}"
        raise InvalidAnswer(f"expected webhook response of admission.k8s.io/v1, Kind={_KIND}, got {given}")
    patch, kind = response.get("patch"), response.get("patchType")
    if mutating:
        if patch and kind is None:
            raise InvalidAnswer("webhook returned response.patch but not response.patchType")
        if kind is not None and not patch:
            raise InvalidAnswer("webhook returned response.patchType but not response.patch")
        if kind is not None and kind != "JSONPatch":
            raise InvalidAnswer(f"webhook returned invalid response.patchType of {shown(kind)}")
    elif patch:
        raise InvalidAnswer("validating webhook may not return response.patch")
    elif kind is not None:
        raise InvalidAnswer("validating webhook may not return response.patchType")


def _patch(response: Mapping[str, Any]) -> list[Any]:
    encoded = response.get("patch")
    if not encoded:
        return []
    try:
        patch = orjson.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise InvalidAnswer("response.patch is no JSON in base64") from None
    if not isinstance(patch, list):
        raise InvalidAnswer("response.patch is no JSON patch")
    return patch


def denial(webhook: str, result: Mapping[str, Any]) -> ApiError:
    """The error of a request that the webhook refused, with the code, reason and details it gave; never a success."""
    code, message, reason, details = (result.get(name) for name in ("code", "message", "reason", "details"))
    text = f"admission webhook {shown(webhook)} denied the request"
    explained = message or reason
    return ApiError(
        code if isinstance(code, int) and 400 <= code < 600 else 400,
        reason if isinstance(reason, str) else "",
        f"{text}: {explained}" if isinstance(explained, str) and explained else f"{text} without explanation",
        details if isinstance(details, dict) else None,
    )
