"""What a CustomResourceDefinition must be: names, versions, columns, subresources, conversion. Its schemas are
looked at in `schema_rules.py`.

Where all versions agree (always, when there is one) errors name the field as if it stood at the top of the spec.
"""
from __future__ import annotations

from collections.abc import Set
from typing import Any

from tiffin.api.admissionregistration.webhooks import bundle_errors, client_errors
from tiffin.api.apiextensions.conditions import APPROVED, approval, is_protected, is_true
from tiffin.api.apiextensions.schema_rules import schema_errors
from tiffin.api.checks import one_of
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, required, too_many
from tiffin.machinery.object import Object, annotations_of, dig, name_of
from tiffin.machinery.structural.rulepaths import FieldPathError, follow

Spec = dict[str, Any]

SCOPES = ("Cluster", "Namespaced")
MOST_SELECTABLE = 8
_SELECTABLE = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
LONGEST_WARNING = 256
_SIMPLE_PATH = "must be a simple json path starting with ."
_STALE = (
    "missing from spec.versions; {0} was previously a storage version, and must remain in spec.versions until a storage migration ensures "
    "no data remains persisted in {0} and removes {0} from status.storedVersions"
)


def definition_errors(crd: Object, unpruned: bool = False) -> list[FieldError]:
    """`unpruned` as for `spec_errors`."""
    spec = crd.get("spec") or {}
    wanted = f"{dig(spec, 'names', 'plural', default='')}.{spec.get('group') or ''}"
    errors: list[FieldError] = []
    if name_of(crd) != wanted:
        errors.append(invalid("metadata.name", name_of(crd), 'must be spec.names.plural+"."+spec.group'))
    errors += spec_errors(spec, unpruned=unpruned) + name_errors(dig(crd, "status", "acceptedNames", default={}), "status.acceptedNames")
    errors += stored_version_errors(crd) + _approval_errors(crd, spec)
    return errors + _pruning_errors(spec, unpruned)


def _pruning_errors(spec: Spec, unpruned: bool) -> list[FieldError]:
    if not spec.get("preserveUnknownFields") or unpruned:
        return []
    words = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [invalid("spec.preserveUnknownFields", True, words)]


def update_errors(new: Object, old: Object, unpruned: bool = False) -> list[FieldError]:
    """What is wrong with a definition as it is now; `unpruned` as for `spec_errors`."""
    spec: Spec = new.get("spec") or {}
    errors = spec_errors(spec, old.get("spec"), unpruned, _had_no_bundle(old)) + change_errors(new, old)
    errors += name_errors(dig(new, "status", "acceptedNames", default={}), "status.acceptedNames") + stored_version_errors(new)
    if approval(new)[0] != approval(old)[0]:
        errors += _approval_errors(new, spec)
    return errors + _pruning_errors(spec, unpruned)


def _had_no_bundle(old: Object) -> bool:
    """Whether the certificates of a conversion webhook may be wrong: they were, or nobody could rely on the definition yet."""
    if not is_true(old, "Established"):
        return True
    bundle = dig(old, "spec", "conversion", "webhook", "clientConfig", "caBundle")
    return bool(bundle and bundle_errors(bundle, ""))


def spec_errors(spec: Spec, old: Spec | None = None, unpruned: bool = False, any_bundle: bool = False) -> list[FieldError]:
    """What is wrong with a spec. Schemas that stand in the old one as they are now were accepted once, and are not looked at again.

    `unpruned` definitions, which only v1beta1 could make, need no schemas, and theirs need not be structural. `any_bundle`: the
    certificates of a conversion webhook need not be any.
    """
    errors = _group_errors(spec.get("group") or "", "spec.group")
    scope = spec.get("scope") or ""
    errors += one_of(scope, "spec.scope", SCOPES) if scope else [required("spec.scope")]
    versions = spec.get("versions") or []
    errors += [
        required(f"spec.versions[{index}].schema.openAPIV3Schema")
        for index, version in enumerate(versions) if not unpruned and dig(version, "schema", "openAPIV3Schema") is None]
    if spec.get("preserveUnknownFields") and not unpruned and any(_has_default(dig(v, "schema", "openAPIV3Schema")) for v in versions):
        errors.append(invalid("spec.preserveUnknownFields", True, "must be false in order to use defaults in the schema"))
    known = [(version.get("schema"), _status_of(version)) for version in (old or {}).get("versions") or ()]
    shared = frozenset(field for field in _PER_VERSION if all(version.get(field) == versions[0].get(field) for version in versions))
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        errors += _joined(version.get("name") or "", f"{path}.name", names.is_dns1035_label(version.get("name") or ""))
        errors += _warning_errors(version, f"{path}.deprecationWarning")
        errors += _content_errors(version, path, _PER_VERSION - shared, bool(_status_of(version)), known, unpruned)
    errors += _version_set_errors(spec.get("versions"))
    first = versions[0].get("name") if versions else ""
    errors += _joined(first, "spec.version", names.is_dns1035_label(first)) if first else []
    errors += _names_errors(spec.get("names") or {}, "spec.names")
    if versions:
        errors += _content_errors(versions[0], "spec", shared, any(map(_status_of, versions)), known, unpruned)
    conversion = spec.get("conversion") or {}
    if spec.get("preserveUnknownFields") and conversion.get("strategy", "None") != "None":
        errors.append(invalid("spec.conversion.strategy", conversion["strategy"], "must be None if spec.preserveUnknownFields is true"))
    return errors + _conversion_errors(conversion, "spec.conversion", any_bundle)


def _has_default(schema: Any) -> bool:
    """Whether there is a default anywhere in a schema."""
    if not isinstance(schema, dict):
        return False
    if schema.get("default") is not None:
        return True
    below = [schema.get("items"), schema.get("additionalProperties"), schema.get("not"), *(schema.get("properties") or {}).values()]
    for junctor in ("allOf", "anyOf", "oneOf"):
        below += schema.get(junctor) or []
    return any(map(_has_default, below))


_PER_VERSION = frozenset({"schema", "subresources", "additionalPrinterColumns", "selectableFields"})


def _status_of(version: Spec) -> bool:
    return "status" in (version.get("subresources") or {})


def _content_errors(version: Spec, path: str, fields: Set[str], status: bool, known: list[Any], unpruned: bool) -> list[FieldError]:
    """Errors in some fields of a version; those that all versions have in common are looked at once, as if they stood in the spec."""
    errors: list[FieldError] = []
    schema = dig(version, "schema", "openAPIV3Schema")
    if "schema" in fields and schema is not None and (version["schema"], status) not in known:
        errors += schema_errors(schema, status, f"{path}.{'validation' if path == 'spec' else 'schema'}.openAPIV3Schema", structural=not unpruned)
    if "subresources" in fields:
        errors += _subresource_errors(version.get("subresources") or {}, f"{path}.subresources")
    if "additionalPrinterColumns" in fields:
        errors += _column_errors(version.get("additionalPrinterColumns") or [], f"{path}.additionalPrinterColumns")
    if "selectableFields" in fields and version.get("selectableFields"):
        where = f"{path}.selectableFields"
        apart = path == "spec" and "schema" not in fields  # versions that agree on these, but not on their schemas
        errors += [invalid(where, "", "may only be set when validations.schema is included")] if apart else _selectable_errors(version, where)
    return errors


def _joined(value: str, path: str, complaints: list[str]) -> list[FieldError]:
    return [invalid(path, value, ",".join(complaints))] if complaints else []


def _group_errors(group: str, path: str) -> list[FieldError]:
    if not group:
        return [required(path)]
    errors = _joined(group, path, names.is_dns1123_subdomain(group))
    return errors or ([] if "." in group else [invalid(path, group, "should be a domain with at least one dot")])


def _warning_errors(version: Spec, path: str) -> list[FieldError]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return []
    if not version.get("deprecated"):
        return [invalid(path, warning, "can only be set for deprecated versions")]
    errors: list[FieldError] = []
    if len(warning.encode()) > LONGEST_WARNING:
        errors.append(invalid(path, warning, f"must be <= {LONGEST_WARNING} characters long"))
    if not warning:
        errors.append(invalid(path, warning, "must not be an empty string"))
    for index, character in enumerate(warning):
        if not character.isprintable():
            place = len(warning[:index].encode())
            words = f"must only contain printable UTF-8 characters; non-printable character found at index {place}"
            return [*errors, invalid(path, warning, words)]
    return errors


def _shown(versions: list[Spec] | None) -> list[Spec] | None:
    """Versions as errors print them, where what they have in common stands elsewhere."""
    return None if versions is None else [
        {
            "Name": v.get("name", ""), "Served": v.get("served", False), "Storage": v.get("storage", False),
            "Deprecated": v.get("deprecated", False), "DeprecationWarning": v.get("deprecationWarning"), "Schema": None,
            "Subresources": None, "AdditionalPrinterColumns": None, "SelectableFields": None,
        }
        for v in versions
    ]


def _version_set_errors(versions: list[Spec] | None) -> list[FieldError]:
    called, errors = [v.get("name") for v in versions or ()], []
    if len(set(called)) < len(called):
        errors.append(invalid("spec.versions", _shown(versions), "must contain unique version names"))
    if sum(bool(v.get("storage")) for v in versions or ()) != 1:
        errors.append(invalid("spec.versions", _shown(versions), "must have exactly one version marked as storage version"))
    return errors


def _names_errors(given: Spec, path: str) -> list[FieldError]:
    errors = [required(f"{path}.{field}") for field in ("plural", "singular", "kind", "listKind") if not given.get(field)]
    return errors + name_errors(given, path)


def name_errors(given: Spec, path: str) -> list[FieldError]:
    """What is wrong with the names there are, in the spec or among the accepted ones."""
    errors: list[FieldError] = []
    for field in ("plural", "singular"):
        value = given.get(field) or ""
        errors += _joined(value, f"{path}.{field}", names.is_dns1035_label(value)) if value else []
    for field in ("kind", "listKind"):
        value = given.get(field) or ""
        if value and (found := names.is_dns1035_label(value.lower())):
            errors.append(invalid(f"{path}.{field}", value, f"may have mixed case, but should otherwise match: {','.join(found)}"))
    errors += _label_errors(given, "shortNames", path)
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        errors.append(invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    return errors + _label_errors(given, "categories", path)


def _label_errors(given: Spec, field: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, value in enumerate(given.get(field) or ()):
        errors += _joined(value, f"{path}.{field}[{index}]", names.is_dns1035_label(value))
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
    if not value.startswith("."):
        return [invalid(path, value, _SIMPLE_PATH)]
    return [] if value.startswith(roots) else [invalid(path, value, f"should be a json path {words}")]


def _selectable_errors(version: Spec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    schema = dig(version, "schema", "openAPIV3Schema", default={})
    for index, field in enumerate(version.get("selectableFields") or ()):
        where, here = field.get("jsonPath") or "", f"{path}[{index}].jsonPath"
        if not where:
            errors.append(required(here))
            continue
        try:
            found, shown = follow(schema, where, brackets=False)
        except FieldPathError as error:
            errors.append(invalid(here, where, f"is an invalid path: {error}"))
            continue
        if shown.partition(".")[0] == "metadata":
            errors.append(invalid(here, where, "must not point to fields in metadata"))
        if found.get("type") not in ("string", "boolean", "integer"):
            errors.append(invalid(here, where, _SELECTABLE))
        errors += [duplicate(here, where)] if shown in seen else []
        seen.add(shown)
    return errors + ([too_many(path, len(seen), MOST_SELECTABLE)] if len(seen) > MOST_SELECTABLE else [])


def _conversion_errors(conversion: Spec, path: str, any_bundle: bool) -> list[FieldError]:
    """`any_bundle`: certificates need not be any."""
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook") or {}
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    errors = one_of(strategy, f"{path}.strategy", ("None", "Webhook")) if strategy else [required(f"{path}.strategy")]
    if strategy != "Webhook":
        words = "should not be set when strategy is not set to Webhook"
        set_fields = [field for field, is_set in (("webhookClientConfig", client is not None), ("conversionReviewVersions", versions)) if is_set]
        return errors + [forbidden(f"{path}.{field}", words) for field in set_fields]
    if client is None:
        errors.append(required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook"))
    else:
        errors += client_errors(client, f"{path}.webhookClientConfig")
        if client.get("caBundle") and not any_bundle:
            errors += bundle_errors(client["caBundle"], f"{path}.webhookClientConfig.caBundle")
    return errors + _review_version_errors(versions, f"{path}.conversionReviewVersions")


def _review_version_errors(versions: list[str], path: str) -> list[FieldError]:
    if not versions:
        return [required(path)]
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid(f"{path}[{index}]", version, "duplicate version"))
        else:
            errors += [invalid(f"{path}[{index}]", version, words) for words in names.is_dns1035_label(version)]
    if not {"v1", "v1beta1"} & set(versions):
        errors.append(invalid(path, versions, "must include at least one of v1, v1beta1"))
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
    if not is_protected(spec.get("group") or ""):
        return []
    path = f"metadata.annotations[{APPROVED}]"
    state, told = approval(crd)
    if state == "Missing":
        return [required(path, told)]
    return [invalid(path, annotations_of(crd)[APPROVED], told)] if state == "Invalid" else []


def change_errors(new: Object, old: Object) -> list[FieldError]:
    """The group and plural name never change; scope and kind not once the definition is established."""
    paths = [("scope",), ("names", "kind")] if is_true(old, "Established") else []
    return [
        invalid(f"spec.{'.'.join(path)}", dig(new, "spec", *path), "field is immutable")
        for path in [*paths, ("group",), ("names", "plural")] if dig(new, "spec", *path) != dig(old, "spec", *path)
    ]
