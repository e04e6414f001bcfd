"""Conversion webhooks: objects of a custom resource in another version, made by whoever wrote its definition.

What comes back is believed only as far as it may go: as many objects as were sent, of the wanted version and the same kind, name,
namespace and uid. Of the metadata a webhook may change labels and annotations, nothing else. Source: API reference,
ConversionReview apiextensions.k8s.io; CRD docs, "Webhook conversion".
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.apiserver.webhooks.client import WebhookClient, WebhookError
from tiffin.apiserver.writes import new_uid
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, dig, meta
from tiffin.machinery.validation import validate_annotations, validate_labels

TIMEOUT = 30
GROUP = "apiextensions.k8s.io"
_KNOWN = ("v1", "v1beta1")
_GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64", dict: "map[string]interface {}", list: "[]interface {}", type(None): "<nil>"}


class WebhookConverter:
    """Converts by the webhook of one definition; `conversion` is its `spec.conversion`."""

    def __init__(self, client: WebhookClient, conversion: Mapping[str, Any]) -> None:
        webhook = conversion["webhook"]
        self._client, self._config = client, webhook["clientConfig"]
        self._version = next((v for v in webhook.get("conversionReviewVersions") or () if v in _KNOWN), "v1")

    async def convert(self, objects: list[Object], api_version: str) -> list[Object]:
        """The objects in `api_version`; all of them are in another one. Raises a 500 ApiError."""
        told = f"conversion webhook for {objects[0]['apiVersion']}, Kind={objects[0]['kind']}"
        uid = new_uid()
        request = {"uid": uid, "desiredAPIVersion": api_version, "objects": objects}
        review = {"kind": "ConversionReview", "apiVersion": f"{GROUP}/{self._version}", "request": request}
        try:
            converted = self._converted(await self._client.post(self._config, review, TIMEOUT), uid)
        except WebhookError as error:
            raise _failed(f"{told} failed: {error}") from None
        if len(converted) != len(objects):
            raise _failed(f"{told} returned {len(converted)} objects, expected {len(objects)}")
        return [_checked(told, place, old, new, api_version) for place, (old, new) in enumerate(zip(objects, converted, strict=True))]

    def _converted(self, answer: Any, uid: str) -> list[Any]:
        """The objects of an answer; raises WebhookError when it is none."""
        wanted = f"{GROUP}/{self._version}, Kind=ConversionReview"
        given = f"{dig(answer, 'apiVersion', default='')}, Kind={dig(answer, 'kind', default='')}"
        if given != wanted:
            raise WebhookError(f"expected webhook response of {wanted}, got {given}")
        response = answer.get("response")
        if not isinstance(response, dict):
            raise WebhookError("no response provided")
        if response.get("uid") != uid:
            raise WebhookError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
        status = dig(response, "result", "status", default="")
        if status != "Success":
            raise WebhookError(dig(response, "result", "message") or f"response.result.status was '{status}', not 'Success'")
        converted = response.get("convertedObjects") or []
        return converted if isinstance(converted, list) else []


def _failed(message: str) -> ApiError:
    return ApiError(500, "", message)


def _checked(told: str, place: int, old: Object, new: Any, api_version: str) -> Object:
    """A converted object with the metadata it may have."""
    if not isinstance(new, dict):
        raise _failed(f"{told} returned invalid object at index {place}: invalid type, expected=Unstructured, got={_go(new)}")
    for what, wanted, given in (("groupVersion", api_version, new.get("apiVersion")), ("kind", old["kind"], new.get("kind"))):
        if given != wanted:
            raise _failed(f"{told} returned invalid object at index {place}: invalid {what} (expected {wanted}, received {given or ''})")
    found = new.get("metadata")
    for field, name in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        before, after = meta(old).get(field) or "", (found.get(field) or "") if isinstance(found, dict) else ""
        if before != after:
            raise _failed(f"{told} returned invalid object: must have the same {name}: {before} != {after}")
    try:
        new["metadata"] = _metadata(meta(old), found)
    except ValueError as error:
        raise _failed(f"{told} returned invalid metadata: {error}") from None
    return new


def _metadata(old: Mapping[str, Any], new: Any) -> dict[str, Any]:
    """The old metadata with the labels and annotations of the new; ValueError when these cannot be."""
    if not isinstance(new, dict):
        raise ValueError(f"invalid metadata of type {_go(new)} in converted object" if new is not None else "missing metadata in converted object")
    metadata = dict(old)
    for field, validate in (("labels", validate_labels), ("annotations", validate_annotations)):
        values = new.get(field)
        metadata.pop(field, None)
        if values is None:
            continue
        if not isinstance(values, dict):
            raise ValueError(f"invalid metadata.{field} of type {_go(values)} in converted object")
        for key, value in values.items():
            if not isinstance(value, str):
                raise ValueError(f"metadata.{field}[{key}] must be a string, but is {_go(value)} in converted object")
        if values != (old.get(field) or {}) and (wrong := validate(values, f"metadata.{field}")):
            texts = [str(error) for error in wrong]
            raise ValueError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        metadata[field] = values
    return metadata


def _go(value: Any) -> str:
    return _GO_TYPES[type(value)]
