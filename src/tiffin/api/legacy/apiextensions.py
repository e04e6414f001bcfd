"""apiextensions.k8s.io/v1beta1, served from 1.7 to 1.21.

What v1 says of every version this one said once, at the top of the spec, where all versions agree; one version could be named as
`version` alone. Unless told otherwise such a definition keeps fields that its schema does not name, and needs no schema.
Source: the conversions and defaults of Kubernetes 1.19.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired, changed, every, renamed
from tiffin.machinery.object import Object

_ROOT = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions"
_COLUMNS: list[Any] = ["[@.CustomResourceColumnDefinition", {"lt": "atomic"}]
_TEXTS: list[Any] = ["[s", {"lt": "atomic"}]
_V1BETA1 = Package(
    f"{_ROOT}.v1beta1", "apiextensions.k8s.io", "v1beta1", f"{_ROOT}.v1", ("CustomResourceDefinition",),
    {"CustomResourceDefinitionSpec": {
        "version": "s", "versions": ["[@.CustomResourceDefinitionVersion", {"lt": "atomic"}], "scope": "+!s",
        "validation": "*@.CustomResourceValidation", "subresources": "*@.CustomResourceSubresources", "additionalPrinterColumns": _COLUMNS,
        "preserveUnknownFields": "*b"},
     "CustomResourceColumnDefinition": {"jsonPath": None, "JSONPath": "+!s"},
     "CustomResourceConversion": {"webhook": None, "webhookClientConfig": "*@.WebhookClientConfig", "conversionReviewVersions": _TEXTS}},
    kept=frozenset(("JSONSchemaProps",)),
    texts={
        "CustomResourceDefinitionSpec": {
            "version": "The first of the versions, or the only one.", "versions": "All versions; the one named `version` alone if left out.",
            "validation": "The schema of all versions, where they have the same.",
            "subresources": "The subresources of all versions, where they have the same.",
            "additionalPrinterColumns": "The columns of all versions, where they have the same.",
            "preserveUnknownFields": "Whether objects keep fields that the schema does not name. They do unless this is false."},
        "CustomResourceColumnDefinition": {"JSONPath": "Where an object has the value of the column."},
        "CustomResourceConversion": {
            "webhookClientConfig": "Where the conversion webhook is.",
            "conversionReviewVersions": "The versions of ConversionReview it understands; v1beta1 if left out."}})
_SHARED = {"validation": "schema", "subresources": "subresources", "additionalPrinterColumns": "additionalPrinterColumns"}
"""Fields at the top of the old spec, and what they are in each version of the new one."""

Spec = dict[str, Any]


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec["scope"] = spec.get("scope") or "Namespaced"
    spec.setdefault("preserveUnknownFields", True)
    conversion = spec.get("conversion") or {}
    if conversion.get("strategy") == "Webhook" and not conversion.get("conversionReviewVersions"):
        conversion["conversionReviewVersions"] = ["v1beta1"]


def _to_v1(obj: Object) -> Object:
    return changed(obj, ("spec",), _new_spec)


def _new_spec(old: Spec) -> Spec:
    spec = {key: value for key, value in old.items() if key not in (*_SHARED, "version")}
    if not spec.get("versions") and old.get("version"):
        spec["versions"] = [{"name": old["version"], "served": True, "storage": True}]
    shared = {new: old[key] for key, new in _SHARED.items() if old.get(key)}
    if spec.get("versions"):
        spec["versions"] = [changed({**shared, **version}, ("additionalPrinterColumns",), every(_new_column)) for version in spec["versions"]]
    if not spec.get("preserveUnknownFields"):
        spec.pop("preserveUnknownFields", None)
    return changed(spec, ("conversion",), _new_conversion)


def _new_column(old: dict[str, Any]) -> dict[str, Any]:
    return renamed(old, JSONPath="jsonPath")


def _new_conversion(old: dict[str, Any]) -> dict[str, Any]:
    webhook = {new: old[key] for key, new in (("webhookClientConfig", "clientConfig"), ("conversionReviewVersions", "conversionReviewVersions"))
               if old.get(key) is not None}
    rest = {key: value for key, value in old.items() if key not in ("webhookClientConfig", "conversionReviewVersions")}
    return {**rest, "webhook": webhook} if webhook else rest


def _from_v1(obj: Object) -> Object:
    return changed(obj, ("spec",), _old_spec)


def _old_spec(new: Spec) -> Spec:
    versions = [changed(version, ("additionalPrinterColumns",), every(lambda c: renamed(c, jsonPath="JSONPath"))) for version in new.get("versions") or ()]
    spec = dict(new)
    if versions:
        spec["version"] = versions[0].get("name", "")
        for old, field in _SHARED.items():
            if versions[0].get(field) and all(version.get(field) == versions[0][field] for version in versions):
                spec[old] = versions[0][field]
                versions = [{key: value for key, value in version.items() if key != field} for version in versions]
        spec["versions"] = versions
    spec["preserveUnknownFields"] = bool(new.get("preserveUnknownFields"))
    return changed(spec, ("conversion",), _old_conversion)


def _old_conversion(new: dict[str, Any]) -> dict[str, Any]:
    webhook = new.get("webhook")
    rest = {key: value for key, value in new.items() if key != "webhook"}
    if webhook is None:
        return rest
    return {**rest, **renamed(webhook, clientConfig="webhookClientConfig")}


PACKAGES = (_V1BETA1,)
VERSIONS = (
    Retired("customresourcedefinitions.apiextensions.k8s.io", _V1BETA1, "1.16", "1.22", from_stored=_from_v1, to_stored=_to_v1, default=_default),)
