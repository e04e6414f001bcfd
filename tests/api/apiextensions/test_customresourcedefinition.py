"""CustomResourceDefinitions: what is refused, in Kubernetes' words."""
from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.apiextensions import customresourcedefinition as crd
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2026, 1, 1, tzinfo=UTC))
SCHEMA = "spec.validation.openAPIV3Schema"
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def definition(schema: Any = None, **version: Any) -> dict[str, Any]:
    made = {"metadata": {"name": "things.e.com"}, "spec": {
        "group": "e.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or {"type": "object"}}, **version}]}}
    crd.default(made)
    crd.prepare_for_create(made | {"metadata": made["metadata"]}, CONTEXT)
    made["status"]["storedVersions"] = ["v1"]
    return made


def errors(made: dict[str, Any]) -> list[str]:
    return [str(error) for error in crd.validate(made, CONTEXT)]


def field(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


A = f"{SCHEMA}.properties[a]"
MAP_LIST = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
SCHEMAS: list[tuple[dict[str, Any], list[str]]] = [
    ({"properties": {}}, [f"{SCHEMA}.type: Required value: must not be empty at the root"]),
    ({"type": "array", "items": TEXT}, [f'{SCHEMA}.type: Invalid value: "array": must be object at the root']),
    ({"type": "object", "additionalProperties": TEXT}, [f"{SCHEMA}.additionalProperties: Forbidden: must not be used at the root"]),
    ({"type": "object", "nullable": True}, [f"{SCHEMA}.nullable: Forbidden: nullable cannot be true at the root"]),
    (field({}), [f"{A}.type: Required value: must not be empty for specified object fields"]),
    (field({"type": "array"}), [f"{A}.items: Required value: must be specified"]),
    (field({"type": "array", "items": {}}), [f"{A}.items.type: Required value: must not be empty for specified array items"]),
    (field({"type": "odd"}), [f'{A}.type: Unsupported value: "odd": supported values: "array", "boolean", "integer", "number", "object", "string"']),
    (field({**TEXT, "uniqueItems": True}), [f"{A}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"]),
    (field({"type": "object", "additionalProperties": TEXT, "properties": {"b": TEXT}}), [
        f"{A}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"]),
    (field({**TEXT, "pattern": "("}), [f'{A}.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: missing closing ): `(`']),
    (field({**TEXT, "anyOf": [{"type": "string"}]}), [f"{A}.anyOf[0].type: Forbidden: must be empty to be structural"]),
    (field({**TEXT, "allOf": [{"default": "x", "description": "d"}]}), [
        f"{A}.allOf[0].default: Forbidden: must be undefined to be structural", f"{A}.allOf[0].description: Forbidden: must be empty to be structural"]),
    (field({"type": "object", "not": {"properties": {"b": {"minLength": 1}}}}), [f"{A}.properties[b]: Required value: because it is defined in {A}.not.properties[b]"]),
    (field({"x-kubernetes-int-or-string": True, "anyOf": [WHOLE, TEXT]}), []),
    (field({"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": [WHOLE, TEXT]}, {"pattern": "x"}]}), []),
    (field({"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True}), [
        f"{A}.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true"]),
    (field({"type": "object", "x-kubernetes-preserve-unknown-fields": False}), [f"{A}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"]),
    (field({"x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}), [
        f"{A}.type: Required value: must be object if x-kubernetes-embedded-resource is true"]),
    (field({"type": "object", "x-kubernetes-embedded-resource": True}), [
        f"{A}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"]),
    ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}, [
        f"{SCHEMA}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"]),
    ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {**TEXT, "pattern": "^x"}}}}}, []),
    (field({**TEXT, "x-kubernetes-map-type": "atomic"}), [f'{A}.type: Invalid value: "string": must be object if x-kubernetes-map-type is specified']),
    (field({**TEXT, "x-kubernetes-list-type": "set"}), [f'{A}.type: Invalid value: "string": must be array if x-kubernetes-list-type is specified']),
    (field({"type": "array", "items": TEXT, "x-kubernetes-list-type": "odd"}), [
        f'{A}.x-kubernetes-list-type: Unsupported value: "odd": supported values: "atomic", "set", "map"']),
    (field({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}), [
        f"{A}.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set"]),
    (field({"type": "array", "items": TEXT, "x-kubernetes-list-map-keys": ["k"]}), [
        f"{A}.x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty"]),
    (field({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}), [
        f"{A}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"]),
    (field({**MAP_LIST, "items": TEXT}), [f'{A}.items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map']),
    (field({**MAP_LIST, "items": {"type": "object"}}), [f'{A}.x-kubernetes-list-map-keys: Invalid value: ["k"]: entries must all be names of item properties']),
    (field({**MAP_LIST, "items": {"type": "object", "properties": {"k": TEXT}}}), [
        f"{A}.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"]),
    (field({**MAP_LIST, "items": {"type": "object", "nullable": True, "required": ["k"], "properties": {"k": TEXT}}}), [
        f"{A}.items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map"]),
    (field({**WHOLE, "default": "x"}), [f'{A}.default: Invalid value: "string":  in body must be of type integer: "string"']),
    (field({"type": "object", "default": {"u": 1}}), [f'{A}.default: Invalid value: {{"u":1}}: must not have unknown fields']),
    (field({"type": "object", "default": {"b": 1}, "properties": {"b": TEXT}}), [f'{A}.default.b: Invalid value: "integer": b in body must be of type string: "integer"']),
    ({"type": "object", "default": {}}, [f"{SCHEMA}.default.apiVersion: Required value", f"{SCHEMA}.default.kind: Required value"]),
    ({"type": "object", "properties": {"metadata": {"type": "object", "default": {"name": "x"}}}}, [
        f"{SCHEMA}.properties[metadata].default: Forbidden: must not be set in top-level metadata"]),
    # what cannot be read as a structural schema at all hides what is wrong with its structure, and its rules
    (field({"$ref": ""}), [f"{A}.$ref: Forbidden: $ref is not supported"]),
    (field({"additionalItems": False}), [f"{A}.additionalItems: Forbidden: additionalItems is not supported"]),
    (field({"dependencies": {}}), [f"{A}.dependencies: Forbidden: dependencies is not supported"]),
    (field({**TEXT, "definitions": {}, "patternProperties": {}, "id": ""}), []),
    (field({"type": "array", "items": [TEXT], "x-kubernetes-validations": [{"rule": "1"}]}), [
        f"{A}.items: Forbidden: items must be a schema object and not an array"]),
    (field({"type": "null"}), [
        f'{A}.type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", "object", "string"',
        f"{A}.type: Forbidden: type cannot be set to null, use nullable as an alternative"]),
]


@pytest.mark.parametrize(("schema", "found"), SCHEMAS)
def test_schemas(schema: dict[str, Any], found: list[str]) -> None:
    assert errors(definition(schema)) == found


R = f"{SCHEMA}.x-kubernetes-validations[0]"


@pytest.mark.parametrize(("rule", "found"), [
    ({"rule": " "}, [f"{R}.rule: Required value: rule is not specified"]),
    ({"rule": "true", "message": " "}, [f'{R}.message: Invalid value: " ": must be non-empty if specified']),
    ({"rule": "true", "message": "a\nb"}, [f'{R}.message: Invalid value: "a\\nb": must not contain line breaks']),
    ({"rule": "true ||\nfalse"}, [f"{R}.message: Required value: must be specified if rule contains line breaks"]),
    ({"rule": "true", "fieldPath": ".a"}, []),
    ({"rule": "true", "fieldPath": ".b"}, [f'{R}.fieldPath: Invalid value: ".b": must be a valid path']),
    ({"rule": "true", "optionalOldSelf": True}, [f"{R}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"]),
    ({"rule": "self.a == oldSelf.a"}, []),
])
def test_rules(rule: dict[str, Any], found: list[str]) -> None:
    assert errors(definition({**field(WHOLE), "x-kubernetes-validations": [rule]})) == found


def test_a_rule_has_to_be_a_condition_and_its_message_text() -> None:
    found = errors(definition({**field(WHOLE), "x-kubernetes-validations": [{"rule": "1"}, {"rule": "true", "messageExpression": "1"}]}))
    assert [text.rpartition(": ")[2] for text in found] == ["cel expression must evaluate to a bool", "messageExpression must evaluate to a string"]


def test_old_values_end_at_lists() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "maxItems": 3, "items": {
        **TEXT, "maxLength": 9, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}}
    assert errors(definition(schema)) == [
        f'{A}.items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within {A}']


def test_rules_that_may_cost_too_much() -> None:
    schema = {**field({"type": "array", "items": TEXT}), "x-kubernetes-validations": [{"rule": "self.a.all(x, self.a.all(y, x != y))"}]}
    found = errors(definition(schema))
    assert len(found) == 3 and "estimated rule cost exceeds budget by factor of more than 100x" in found[0]
    assert found[2].startswith(f"{SCHEMA}: Forbidden: x-kubernetes-validations estimated rule cost total")


def test_fields_of_versions_that_differ_are_named_by_version() -> None:
    made = definition(field({}))
    made["spec"]["versions"].append({"name": "v2", "served": True, "schema": {"openAPIV3Schema": {"type": "object"}}, "additionalPrinterColumns": [{"name": "A"}]})
    assert [text.split(":")[0] for text in errors(made)] == [
        "spec.versions[0].schema.openAPIV3Schema.properties[a].type", "spec.versions[1].additionalPrinterColumns[0].type",
        "spec.versions[1].additionalPrinterColumns[0].JSONPath"]


def test_the_status_subresource_limits_the_root() -> None:
    found = errors(definition({"type": "object", "anyOf": [{"required": ["a"]}]}, subresources={"status": {}}))
    assert len(found) == 1 and "fields are allowed at the root of the schema if the status subresource is enabled" in found[0]


@pytest.mark.parametrize(("path", "words"), [
    (".spec.nope", "is an invalid path: does not refer to a valid field"), ("spec.a", "is an invalid path: expected [ or . but got: spec"),
    (".spec['a']", "is an invalid path: array notation is not allowed"), (".spec.", "is an invalid path: unexpected end of JSON path"),
    (".spec.nope[", "is an invalid path: does not refer to a valid field"),
    (".spec.o", "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.")])
def test_selectable_fields(path: str, words: str) -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"o": {"type": "object"}, "a": TEXT}}}}
    assert errors(definition(schema, selectableFields=[{"jsonPath": path}])) == [f'spec.selectableFields[0].jsonPath: Invalid value: "{path}": {words}']


def test_conversion() -> None:
    made = definition()
    made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v9", "v9"], "clientConfig": {"url": "http://x"}}}
    assert errors(made) == [
        "spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        'spec.conversion.conversionReviewVersions[1]: Invalid value: "v9": duplicate version',
        'spec.conversion.conversionReviewVersions: Invalid value: ["v9","v9"]: must include at least one of v1, v1beta1']
    made["spec"]["conversion"]["strategy"] = "None"
    assert [text.split(":")[0] for text in errors(made)] == ["spec.conversion.webhookClientConfig", "spec.conversion.conversionReviewVersions"]


def test_names_may_have_mixed_case_but_little_else() -> None:
    made = definition()
    made["spec"]["names"]["kind"] = "Thing_"
    assert errors(made)[0].startswith('spec.names.kind: Invalid value: "Thing_": may have mixed case, but should otherwise match: a DNS-1035 label')


def test_formats_nobody_knows_are_warned_of_once_they_come() -> None:
    odd, none = definition(field({**TEXT, "format": "odd"})), definition()
    assert crd.warnings(odd, None) == crd.warnings(odd, none) == ['unrecognized format "odd"']
    assert crd.warnings(odd, odd) == crd.warnings(none, odd) == []


def test_what_was_accepted_once_is_not_looked_at_again() -> None:
    """A definition from before a rule was checked can still be changed elsewhere."""
    old, new = definition(field({})), definition(field({}))
    new["metadata"]["labels"] = {"a": "b"}
    assert crd.validate_update(new, old, CONTEXT) == []
    new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["b"] = {}
    assert len(crd.validate_update(new, old, CONTEXT)) == 2


def test_versions_that_agree_on_selectable_fields_but_not_on_schemas() -> None:
    """Kubernetes takes what versions agree on out of them, and then misses the schema."""
    selectable = [{"jsonPath": ".a"}]
    made = definition(field(TEXT), selectableFields=selectable)
    made["spec"]["versions"].append({"name": "v2", "served": True, "schema": {"openAPIV3Schema": field(WHOLE)}, "selectableFields": selectable})
    assert errors(made) == ['spec.selectableFields: Invalid value: "": may only be set when validations.schema is included']
    made["spec"]["versions"][1]["selectableFields"] = []
    assert errors(made) == []


@pytest.mark.parametrize(("root", "refused"), [
    ({"maxProperties": 0}, True), ({"additionalProperties": False}, True), ({"x-kubernetes-embedded-resource": False}, False), ({"nullable": False}, False),
    ({"title": "t", "minimum": 0}, False),
])
def test_what_the_status_subresource_leaves_of_the_root(root: dict[str, Any], refused: bool) -> None:
    found = errors(definition({"type": "object", **root}, subresources={"status": {}}))
    assert any("fields are allowed at the root" in text for text in found) is refused


def established(made: dict[str, Any]) -> dict[str, Any]:
    made["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    return made


def changes(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [str(error) for error in crd.validate_update(new, old, CONTEXT)]


def test_approval_is_asked_for_again_when_it_changes() -> None:
    def protected(note: str) -> dict[str, Any]:
        made = definition()
        made["spec"]["group"] = "e.k8s.io"
        made["metadata"]["annotations"] = {"api-approved.kubernetes.io": note} if note else {}
        return made

    assert changes(protected(""), protected("")) == changes(protected("unapproved, for now"), protected("")) == []
    assert changes(protected("odd"), protected("also odd")) == []
    assert changes(protected(""), protected("https://x/y"))[0].startswith("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups")
    assert changes(protected("odd"), protected(""))[0].startswith('metadata.annotations[api-approved.kubernetes.io]: Invalid value: "odd": protected groups')


def test_unknown_fields_are_not_kept_again() -> None:
    made = definition(field({**TEXT, "default": "x"}))
    made["spec"]["preserveUnknownFields"] = True
    made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x"}}}
    wanted = [
        "spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema",
        'spec.conversion.strategy: Invalid value: "Webhook": must be None if spec.preserveUnknownFields is true',
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        "spec.versions[*].schema instead"]
    assert errors(made) == changes(made, definition()) == wanted


@pytest.mark.parametrize(("text", "fault"), [
    ("ca", "unable to parse bytes as PEM block"),
    ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "failed to parse certificate: x509: malformed certificate"),
    ("-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n", "no valid certificate authority data seen"),
])
def test_certificates_of_conversion_webhooks(text: str, fault: str) -> None:
    bundle = b64encode(text.encode()).decode()
    made, without = definition(), established(definition())
    made["spec"]["conversion"] = {
        "strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x", "caBundle": bundle}}}
    told = [f'spec.conversion.webhookClientConfig.caBundle: Invalid value: "{bundle}": unable to load root certificates: {fault}']
    assert errors(made) == changes(established(made), without) == told
    assert changes(made, definition()) == [] and changes(made, made) == []  # nobody relies on it yet; it was wrong before


def test_an_empty_client_is_one() -> None:
    made = definition()
    made["spec"]["conversion"]["webhook"] = {"clientConfig": {}}
    assert errors(made) == ["spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook"]


def test_status_updates_change_the_metadata_too() -> None:
    old, new = definition(), definition()
    new["metadata"]["labels"], new["spec"], new["status"]["storedVersions"] = {"a": "b"}, {}, []
    crd.prepare_status(new, old, CONTEXT)
    assert new["spec"] == old["spec"] and new["metadata"]["labels"] == {"a": "b"} and new["status"]["storedVersions"] == ["v1"]
    new["status"]["acceptedNames"] = {"plural": "Bad_"}
    assert [str(error).split(":")[0] for error in crd.validate_status(new, old, CONTEXT)] == ["status.acceptedNames.plural"]
