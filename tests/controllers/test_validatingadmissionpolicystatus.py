"""Type checking of validating admission policies."""
from __future__ import annotations

from typing import Any

from tests.controllers.cluster import Cluster
from tiffin.controllers import validatingadmissionpolicystatus
from tiffin.controllers.validatingadmissionpolicystatus import DEFINITIONS, POLICIES
from tiffin.machinery.object import Object


def policy(*expressions: str, resource: str = "apps/v1/deployments", **spec: Any) -> Object:
    group, version, plural = resource.split("/")
    rule = {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE"], "resources": plural.split(",")}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": text} for text in expressions], **spec}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p", "generation": 1}, "spec": spec}


async def checked(obj: Object, *definitions: Object) -> list[tuple[str, str]]:
    """The fields warned of and the first line of each warning."""
    async with Cluster(validatingadmissionpolicystatus) as c:
        for definition in definitions:
            await c.create(DEFINITIONS, definition)
        await c.create(POLICIES, obj)
        await c.clock.advance(1)
        status = c.one(POLICIES, "p", "")["status"]
        assert status["observedGeneration"] == 1
        return [(w["fieldRef"], w["warning"]) for w in status["typeChecking"].get("expressionWarnings") or ()]


async def test_built_in_kinds() -> None:
    assert await checked(policy("object.spec.replicas > 'x'", "object.spec.replicas > 1")) == [(
        "spec.validations[0].expression",
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n"
        " | object.spec.replicas > 'x'\n | .....................^\n")]


async def test_every_kind_is_told_of() -> None:
    ((_, warning),) = await checked(policy("object.spec.nope == 1", resource="apps/v1/statefulsets,deployments"))
    first, second = warning.split("\n\n")
    assert first.startswith("apps/v1, Kind=Deployment: ERROR") and second.startswith("apps/v1, Kind=StatefulSet: ERROR")


async def test_wildcards_name_no_kind() -> None:
    assert await checked(policy("object.spec.nope == 1", resource="*/v1/deployments")) == []


async def test_variables_have_the_type_of_their_expression() -> None:
    variables = [{"name": "replicas", "expression": "object.spec.replicas"}]
    ((_, warning),) = await checked(policy("variables.replicas == 'x'", variables=variables))
    assert "found no matching overload for '_==_' applied to '(int, string)'" in warning


async def test_custom_kinds() -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    names = {"plural": "widgets", "kind": "Widget"}
    crd = {"metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "names": names, "versions": [
        {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}}
    ((field, warning),) = await checked(policy("object.spec.size < 3", "object.spec.weight < 3", resource="example.com/v1/widgets"), crd)
    assert field == "spec.validations[1].expression" and warning.startswith("example.com/v1, Kind=Widget: ERROR: <input>:1:12: undefined field 'weight'")


async def test_rules_name_kinds_beside_subresources_and_wildcards() -> None:
    assert len(await checked(policy("object.spec.nope == 1", resource="apps/v1/deployments,*"))) == 1


async def test_parameters_have_a_type_if_their_kind_is_known() -> None:
    ((_, warning),) = await checked(policy("params.data['x'] == 1", paramKind={"apiVersion": "v1", "kind": "ConfigMap"}))
    assert "found no matching overload for '_==_' applied to '(string, int)'" in warning
    ((_, warning),) = await checked(policy("params.x == 1", paramKind={"apiVersion": "e.com/v1", "kind": "Nothing"}))
    assert "undeclared reference to 'params'" in warning
    definition = {"metadata": {"name": "ns.e.com"}, "spec": {"group": "e.com", "names": {"plural": "ns", "kind": "Nothing"}, "versions": [
        {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"x": {"type": "integer"}}}}}]}}
    assert await checked(policy("params.x == 1", paramKind={"apiVersion": "e.com/v1", "kind": "Nothing"}), definition) == []
