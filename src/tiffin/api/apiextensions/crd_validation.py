"""What a CustomResourceDefinition must be: names, versions, columns, subresources, conversion. Its schemas are looked at elsewhere.

Where all versions agree (always, when there is one) errors name the field as if it stood at the top of the spec.
"""
from __future__ import annotations

import re
from typing import Any

from tiffin.api.admissionregistration.webhooks import client_errors
from tiffin.api.checks import one_of
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiffin.machinery.object import Object, annotations_of, dig, name_of

Spec = dict[str, Any]

SCOPES = ("Cluster", "Namespaced")
APPROVED = "api-approved.kubernetes.io"
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
LONGEST_WARNING = 256
_PROPOSAL = "see https://github.com/kubernetes/enhancements/pull/1111"
_SIMPLE_PATH = "must be a simple json path starting with ."
_simple_path = re.compile(r"(\.[A-Za-z_][A-Za-z0-9_]*|\['[^']*'\])+").fullmatch
_STALE = (
    "missing from spec.versions; {0} was previously a storage version, and must remain in spec.versions until a storage migration ensures "
    "no data remains persisted in {0} and removes {0} from status.storedVersions"
)


def definition_errors(crd: Object) -> list[FieldError]:
    spec = crd.get("spec") or {}
    wanted = f"{dig(spec, 'names', 'plural', default='')}.{spec.get('group') or ''}"
    errors: list[FieldError] = []
    if name_of(crd) != wanted:
        errors.append(invalid("metadata.name", name_of(crd), 'must be spec.names.plural+"."+spec.group'))
    errors += spec_errors(spec) + stored_version_errors(crd) + _approval_errors(crd, spec)
    if spec.get("preserveUnknownFields"):
        words = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(invalid("spec.preserveUnknownFields", True, words))
    return errors


def spec_errors(spec: Spec) -> list[FieldError]:
    errors = _group_errors(spec.get("group") or "", "spec.group")
    scope = spec.get("scope") or ""
    errors += one_of(scope, "spec.scope", SCOPES) if scope else [required("spec.scope")]
    versions = spec.get("versions") or []
    for index, version in enumerate(versions):
        errors += _version_errors(version, f"spec.versions[{index}]")
    errors += _version_set_errors(versions) + _names_errors(spec.get("names") or {}, "spec.names")
    shared = all(_shape(version) == _shape(versions[0]) for version in versions)
    for index, version in enumerate(versions[:1] if shared else versions):
        path = "spec" if shared else f"spec.versions[{index}]"
        errors += _column_errors(version.get("additionalPrinterColumns") or [], f"{path}.additionalPrinterColumns")
        errors += _subresource_errors(version.get("subresources") or {}, f"{path}.subresources")
        errors += _selectable_errors(version, f"{path}.selectableFields")
    return errors + _conversion_errors(spec.get("conversion") or {}, "spec.conversion")


def _shape(version: Spec) -> tuple[Any, ...]:
    return tuple(version.get(field) for field in ("schema", "additionalPrinterColumns", "subresources", "selectableFields"))


def _joined(value: str, path: str, complaints: list[str]) -> list[FieldError]:
    return [invalid(path, value, ",".join(complaints))] if complaints else []


def _group_errors(group: str, path: str) -> list[FieldError]:
    if not group:
        return [required(path)]
    errors = _joined(group, path, names.is_dns1123_subdomain(group))
    return errors or ([] if "." in group else [invalid(path, group, "should be a domain with at least one dot")])


def _version_errors(version: Spec, path: str) -> list[FieldError]:
    called, warning = version.get("name") or "", version.get("deprecationWarning")
    errors = _joined(called, f"{path}.name", names.is_dns1035_label(called))
    if called:
        errors += _joined(called, "spec.version", names.is_dns1035_label(called)) if path.endswith("[0]") else []
    if warning is not None:
        errors += _warning_errors(warning, bool(version.get("deprecated")), f"{path}.deprecationWarning")
    if dig(version, "schema", "openAPIV3Schema") is None:
        errors.append(required(f"{path}.schema.openAPIV3Schema"))
    return errors


def _warning_errors(warning: str, deprecated: bool, path: str) -> list[FieldError]:
    if not deprecated:
        return [invalid(path, warning, "can only be set for deprecated versions")]
    if len(warning) > LONGEST_WARNING:
        return [invalid(path, warning, f"must be <= {LONGEST_WARNING} characters long")]
    if not warning:
        return [invalid(path, warning, "must not be empty")]
    for index, character in enumerate(warning):
        if not character.isprintable():
            words = f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            return [invalid(path, warning, words)]
    return []


def _shown(versions: list[Spec]) -> list[Spec] | None:
    return [
        {
            "Name": v.get("name", ""), "Served": v.get("served", False), "Storage": v.get("storage", False),
            "Deprecated": v.get("deprecated", False), "DeprecationWarning": v.get("deprecationWarning"), "Schema": None,
            "Subresources": None, "AdditionalPrinterColumns": None, "SelectableFields": None,
        }
        for v in versions
    ] or None


def _version_set_errors(versions: list[Spec]) -> list[FieldError]:
    called, errors = [v.get("name") for v in versions], []
    if len(set(called)) < len(called):
        errors.append(invalid("spec.versions", _shown(versions), "must contain unique version names"))
    if sum(bool(v.get("storage")) for v in versions) != 1:
        errors.append(invalid("spec.versions", _shown(versions), "must have exactly one version marked as storage version"))
    return errors


def _names_errors(given: Spec, path: str) -> list[FieldError]:
    fields = ("plural", "singular", "kind", "listKind")
    errors = [required(f"{path}.{field}") for field in fields if not given.get(field)]
    for field in fields:
        value = given.get(field) or ""
        text = value.lower() if "ind" in field else value
        errors += _joined(value, f"{path}.{field}", names.is_dns1035_label(text)) if value else []
    for field in ("shortNames", "categories"):
        for index, value in enumerate(given.get(field) or ()):
            errors += _joined(value, f"{path}.{field}[{index}]", names.is_dns1035_label(value))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        errors.append(invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    return errors


def _column_errors(columns: list[Spec], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, column in enumerate(columns):
        here, kind, form, where = f"{path}[{index}]", column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
        errors += [] if column.get("name") else [required(f"{here}.name")]
        words = f"must be one of {','.join(COLUMN_TYPES)}"
        if kind not in COLUMN_TYPES:
            errors.append(invalid(f"{here}.type", kind, words) if kind else required(f"{here}.type", words))
        if form and form not in COLUMN_FORMATS:
            errors.append(invalid(f"{here}.format", form, f"must be one of {','.join(COLUMN_FORMATS)}"))
        if not where:
            errors.append(required(f"{here}.JSONPath"))
        elif not where.startswith("."):
            errors.append(invalid(f"{here}.JSONPath", where, _SIMPLE_PATH))
    return errors


def _subresource_errors(subresources: Spec, path: str) -> list[FieldError]:
    scale = subresources.get("scale")
    if scale is None:
        return []
    errors = _scale_path_errors(scale.get("specReplicasPath") or "", f"{path}.scale.specReplicasPath", (".spec.",), "under .spec")
    errors += _scale_path_errors(scale.get("statusReplicasPath") or "", f"{path}.scale.statusReplicasPath", (".status.",), "under .status")
    if scale.get("labelSelectorPath"):
        where = f"{path}.scale.labelSelectorPath"
        errors += _scale_path_errors(scale["labelSelectorPath"], where, (".spec.", ".status."), "under either .spec or .status")
    return errors


def _scale_path_errors(value: str, path: str, roots: tuple[str, ...], words: str) -> list[FieldError]:
    if not value:
        return [required(path)]
    if not _simple_path(value):
        return [invalid(path, value, _SIMPLE_PATH)]
    return [] if value.startswith(roots) else [invalid(path, value, f"should be a json path {words}")]


def _selectable_errors(version: Spec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, field in enumerate(version.get("selectableFields") or ()):
        where, here = field.get("jsonPath") or "", f"{path}[{index}].jsonPath"
        if not where:
            errors.append(required(here))
            continue
        errors += _selectable_path_errors(where, dig(version, "schema", "openAPIV3Schema", default={}), here)
        errors += [duplicate(here, where)] if where in seen else []
        seen.add(where)
    return errors


def _selectable_path_errors(where: str, schema: Spec, path: str) -> list[FieldError]:
    if not where.startswith((".", "[")):
        first = re.split(r"[.\[]", where)[0]
        return [invalid(path, where, f"is an invalid path: expected [ or . but got: {first}")]
    found: Spec | None = schema
    for step in where[1:].split("."):
        found = dig(found, "properties", step)
    if found is None or where.startswith(".metadata"):
        return [invalid(path, where, "is an invalid path: does not refer to a valid field")]
    if found.get("type") not in ("string", "boolean", "integer"):
        words = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
        return [invalid(path, where, words)]
    return []


def _conversion_errors(conversion: Spec, path: str) -> list[FieldError]:
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    if not strategy:
        return [required(f"{path}.strategy")]
    if strategy == "None":
        words = "should not be set when strategy is not set to Webhook"
        return [] if webhook is None else [forbidden(f"{path}.webhook", words)]
    if strategy != "Webhook":
        return [not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))]
    client = dig(webhook, "clientConfig")
    if client is None:
        return [required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")]
    errors = client_errors(client, f"{path}.webhookClientConfig")
    versions = dig(webhook, "conversionReviewVersions", default=[])
    if not versions:
        errors.append(required(f"{path}.conversionReviewVersions"))
    elif not {"v1", "v1beta1"} & set(versions):
        errors.append(invalid(f"{path}.conversionReviewVersions", versions, "must include at least one of v1, v1beta1"))
    return errors


def stored_version_errors(crd: Object) -> list[FieldError]:
    stored: list[str] = dig(crd, "status", "storedVersions", default=[])
    versions = dig(crd, "spec", "versions", default=[])
    if not stored:
        return [invalid("status.storedVersions", None, "must have at least one stored version")]
    errors = [
        invalid("status.storedVersions", stored, f"must have the storage version {version['name']}")
        for version in versions if version.get("storage") and version.get("name") not in stored
    ]
    known = {version.get("name") for version in versions}
    return errors + [
        invalid(f"status.storedVersions[{i}]", version, _STALE.format(version)) for i, version in enumerate(stored) if version not in known
    ]


def _approval_errors(crd: Object, spec: Spec) -> list[FieldError]:
    """Groups of the Kubernetes project say where they were approved, or that they were not."""
    group = spec.get("group") or ""
    if not f".{group}".endswith((".k8s.io", ".kubernetes.io")):
        return []
    path, approval = f"metadata.annotations[{APPROVED}]", annotations_of(crd).get(APPROVED)
    words = f'protected groups must have approval annotation "{APPROVED}"'
    if not approval:
        return [required(path, f"{words}, {_PROPOSAL}")]
    if approval.startswith("unapproved") or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]+", approval):
        return []
    return [invalid(path, approval, f'{words} with either a URL or a reason starting with "unapproved", {_PROPOSAL}')]


def change_errors(new: Object, old: Object) -> list[FieldError]:
    """The group and plural name never change; scope and kind not once the definition is established."""
    established = any(c.get("type") == "Established" and c.get("status") == "True" for c in dig(old, "status", "conditions", default=[]))
    paths = [("scope",), ("names", "kind")] if established else []
    return [
        invalid(f"spec.{'.'.join(path)}", dig(new, "spec", *path), "field is immutable")
        for path in [*paths, ("group",), ("names", "plural")] if dig(new, "spec", *path) != dig(old, "spec", *path)
    ]
