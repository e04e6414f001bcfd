"""Admission policies: what is refused, in Kubernetes' words."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.admissionregistration import validatingadmissionpolicy as vap
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2026, 1, 1, tzinfo=UTC))
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
HOLDS = {"expression": "true"}


def errors(name: str = "p", rule: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    made = {"metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": [RULE | (rule or {})]}, "validations": [HOLDS], **spec}}
    vap.default(made)
    return [str(error) for error in vap.validate(made, CONTEXT)]


@pytest.mark.parametrize(("kind", "found"), [
    ({"apiVersion": "v1", "kind": "ConfigMap"}, []),
    ({"apiVersion": "g.e/", "kind": "K"}, ['spec.paramKind.apiVersion: Invalid value: "g.e/": version must be specified']),
    ({"apiVersion": "a/b/c", "kind": "K"}, ['spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c']),
])
def test_kinds_of_parameters(kind: dict[str, str], found: list[str]) -> None:
    assert errors(paramKind=kind) == found


def test_a_kind_of_parameters_may_have_mixed_case() -> None:
    (told,) = errors(paramKind={"apiVersion": "v1", "kind": "Bad_Kind"})
    assert told.startswith('spec.paramKind.kind: Invalid value: "Bad_Kind": may have mixed case, but should otherwise match: a DNS-1035 label')


@pytest.mark.parametrize(("resources", "found"), [
    (["*", "pods"], ['Invalid value: ["*","pods"]: if \'*\' is present, must not specify other resources without subresources']),
    (["pods", "*"], []),  # only the last one is looked at
    (["*", "pods/status"], []),
    (["*/*", "pods"], ['Invalid value: ["*/*","pods"]: if \'*/*\' is present, must not specify other resources']),
])
def test_resources(resources: list[str], found: list[str]) -> None:
    assert errors(rule={"resources": resources}) == [f"spec.matchConstraints.resourceRules[0].resources: {text}" for text in found]


def test_names_of_resources_come_before_operations() -> None:
    where = "spec.matchConstraints.resourceRules[0]"
    assert errors(rule={"resourceNames": ["a", "a", "x/y"], "operations": []}) == [
        f'{where}.resourceNames[1]: Duplicate value: "a"', f'{where}.resourceNames[2]: Invalid value: "x/y": may not contain \'/\'',
        f"{where}.operations: Required value"]


@pytest.mark.parametrize(("message", "found"), [
    ("fine\n", []), (" ", ['" ": must be non-empty if specified']), ("a\rb", ['"a\\rb": must not contain line breaks']),
])
def test_messages(message: str, found: list[str]) -> None:
    assert errors(validations=[HOLDS | {"message": message}]) == [f"spec.validations[0].message: Invalid value: {text}" for text in found]


def test_audit_annotations() -> None:
    many = [{"key": f"k{index}", "valueExpression": "'x'"} for index in range(21)]
    (told,) = errors(auditAnnotations=many)
    assert told.startswith('spec.auditAnnotations: Invalid value: [{"Key":"k0","ValueExpression":"\'x\'"},')
    assert told.endswith("must not have more than 20 auditAnnotations")
    assert errors(auditAnnotations=[{"key": "k", "valueExpression": f"'{'x' * 5120}'"}]) == [
        "spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in length"]
    assert errors("", auditAnnotations=many[:1]) == ['spec.auditAnnotations[0].key: Invalid value: "k0": requires metadata.name be non-empty']


def test_names_of_variables() -> None:
    assert errors(variables=[{"name": " ", "expression": "1"}, {"name": "a-b", "expression": "1"}]) == [
        "spec.variables[0].name: Required value: name is not specified", 'spec.variables[1].name: Invalid value: "a-b": must be a valid CEL identifier']


def test_variables_see_those_before_them() -> None:
    words = "compilation failed: ERROR: <input>:1:10: undefined field 'b'\n | variables.b\n | .........^"
    assert errors(variables=[{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]) == [
        f'spec.variables[0].expression: Invalid value: "variables.b": {words}']
    assert errors(variables=[{"name": "b", "expression": "1"}, {"name": "a", "expression": "variables.b"}]) == []


def test_a_status() -> None:
    warnings = [{"warning": "w", "fieldRef": "spec.x"}, {"warning": "", "fieldRef": " "}]
    made = {"status": {"typeChecking": {"expressionWarnings": warnings}, "conditions": None}}
    path = "status.typeChecking.expressionWarnings[1]"
    assert [str(error) for error in vap.validate_status(made, {}, CONTEXT)] == [f"{path}.warning: Required value", f"{path}.fieldRef: Required value"]
