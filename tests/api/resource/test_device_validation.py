"""Dynamic resource allocation: what the server says of claims, templates, classes and slices that are wrong."""
from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest

from tiffin.api.kind import Context
from tiffin.api.resource.deviceclass import KIND as DEVICE_CLASS
from tiffin.api.resource.resourceclaim import KIND as CLAIM
from tiffin.api.resource.resourceclaimtemplate import KIND as TEMPLATE
from tiffin.api.resource.resourceslice import KIND as SLICE

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
LABEL = ("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
         "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")
NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def created(kind, spec):
    obj = {"metadata": {"name": "x"}, "spec": copy.deepcopy(spec)}
    kind.default(obj)
    kind.prepare_for_create(obj, CONTEXT)
    return obj


def told(kind, spec):
    return [str(error) for error in kind.validate(created(kind, spec), CONTEXT)]


def request(**fields):
    return {"name": "r", "exactly": {"deviceClassName": "c"} | fields}


@pytest.mark.parametrize(("devices", "expected"), [
    ({}, []),
    ({"requests": [request()]}, []),
    ({"requests": [{"name": "", "exactly": {"deviceClassName": "c"}}]}, [f'spec.devices.requests[0].name: Invalid value: "": {LABEL}']),
    ({"requests": [{"name": "r"}]}, ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"]),
    ({"requests": [request() | {"firstAvailable": [{"name": "a", "deviceClassName": "c"}]}]}, [
        "spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"]),
    ({"requests": [request(deviceClassName="")]}, ["spec.devices.requests[0].exactly.deviceClassName: Required value"]),
    ({"requests": [request(), request()]}, ['spec.devices.requests[1]: Duplicate value: "r"']),
    ({"requests": [request(allocationMode="All", count=2)]}, [
        "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"]),
    ({"requests": [request(count=-1)]}, ["spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"]),
    ({"requests": [request(allocationMode="Odd")]}, [
        'spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Odd": supported values: "All", "ExactCount"']),
    ({"requests": [request(tolerations=[{"operator": "Exists", "value": "v"}, {"operator": "Odd"}, {"key": "k", "effect": "Odd"}])]}, [
        'spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
        'spec.devices.requests[0].exactly.tolerations[1].operator: Unsupported value: "Odd": supported values: "Equal", "Exists"',
        'spec.devices.requests[0].exactly.tolerations[2].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule", "None"']),
    ({"requests": [request(selectors=[{"cel": {"expression": "1"}}, {}])]}, [
        'spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: "1": must evaluate to bool or the unknown type, not int',
        "spec.devices.requests[0].exactly.selectors[1].cel: Required value"]),
    ({"requests": [request()], "constraints": [{"matchAttribute": "a"}, {}, {"requests": ["s"], "matchAttribute": "d.io/a"}]}, [
        'spec.devices.constraints[0].matchAttribute: Invalid value: "a": a fully qualified name must be a domain and a name separated by a slash',
        'spec.devices.constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, '
        "but multiple fields are set",
        f'spec.devices.constraints[2].requests[0]: Invalid value: "s": {NO_REQUEST}']),
    ({"requests": [{"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c"}]}], "config": [
        {"requests": ["r/a", "r/b", "r/a"], "opaque": {"driver": "d.io", "parameters": {}}}]}, [
        f'spec.devices.config[0].requests[1]: Invalid value: "r/b": {NO_REQUEST}',
        'spec.devices.config[0].requests[2]: Duplicate value: "r/a"']),
    ({"config": [{"opaque": {"driver": "", "parameters": "text"}}, {"opaque": {"driver": "D.io", "parameters": {"a": "x" * 10240}}}]}, [
        "spec.devices.config[0].opaque.driver: Required value",
        'spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
        "spec.devices.config[1].opaque.parameters: Too long: may not be more than 10240 bytes"]),
    ({"requests": [request() | {"name": f"r{i}"} for i in range(33)]}, ["spec.devices.requests: Too many: 33: must have at most 32 items"]),
])
def test_claims(devices, expected):
    assert told(CLAIM, {"devices": devices}) == expected
    inner = [text.replace("spec.devices", "spec.spec.devices", 1) for text in expected]
    assert told(TEMPLATE, {"spec": {"devices": devices}}) == inner


def test_the_metadata_of_a_template_is_labels_and_annotations():
    assert told(TEMPLATE, {"metadata": {"name": "n", "labels": {"a": "b"}, "finalizers": ["a/b"]}, "spec": {}}) == [
        "spec.metadata.name: Forbidden: cannot be set", "spec.metadata.finalizers: Forbidden: cannot be set"]


@pytest.mark.parametrize(("expression", "fault"), [
    ('device.driver == "d.example.com"', ""),
    ('device.attributes["dra.example.com"].model', ""),
    ('device.capacity["d.io"].memory.isGreaterThan(quantity("1Gi"))', ""),
    ('cel.bind(d, device.attributes["d.io"], d.a && d.version.isLessThan(semver("2.0.0")))', ""),
    ("device.allowMultipleAllocations == true", ""),
    ("dyn(1)", "must evaluate to bool or the unknown type, not dyn"),
    ("device.odd", "compilation failed: ERROR: <input>:1:7: undefined field 'odd'\n | device.odd\n | ......^"),
])
def test_expressions_of_selectors(expression, fault):
    found = DEVICE_CLASS.validate(created(DEVICE_CLASS, {"selectors": [{"cel": {"expression": expression}}]}), CONTEXT)
    assert [error.message.split(": ", 2)[2] for error in found] == ([fault] if fault else [])


def test_an_expression_that_may_cost_too_much():
    loops = "device.attributes.all(a, " * 5 + "true" + ")" * 5
    assert told(DEVICE_CLASS, {"selectors": [{"cel": {"expression": loops}}]}) == [
        "spec.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"]


def test_stored_expressions_are_not_compiled_again():
    spec = {"selectors": [{"cel": {"expression": "bad ("}}]}
    old, new = created(DEVICE_CLASS, spec), created(DEVICE_CLASS, spec)
    assert not DEVICE_CLASS.validate_update(new, old, CONTEXT)
    new["spec"]["selectors"].append({"cel": {"expression": "true"}})
    assert len(DEVICE_CLASS.validate_update(new, old, CONTEXT)) == 1


def slice_spec(**fields):
    return {"driver": "d.io", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "nodeName": "n"} | fields


def device(**fields):
    return slice_spec(devices=[{"name": "d"} | fields])


@pytest.mark.parametrize(("spec", "expected"), [
    (slice_spec(), []),
    (slice_spec(driver="", pool={"generation": -1}), [
        "spec.driver: Required value", "spec.pool.name: Required value",
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero"]),
    (slice_spec(nodeName=None), [
        "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"]),
    (slice_spec(allNodes=True), [
        'spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is '
        "required, but multiple fields are set"]),
    (slice_spec(allNodes=False), ["spec.allNodes: Invalid value: false: must be either unset or set to true"]),
    (slice_spec(nodeName=None, nodeSelector={"nodeSelectorTerms": [{}, {"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": ["a"]}]}]}), [
        'spec.nodeSelector.nodeSelectorTerms: Invalid value: [{"MatchExpressions":null,"MatchFields":null},{"MatchExpressions":null,'
        '"MatchFields":[{"Key":"metadata.name","Operator":"In","Values":["a"]}]}]: must have exactly one node selector term']),
    (slice_spec(devices=[], sharedCounters=[]), ['spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed']),
    (device(attributes={"a": {"int": 1}, "x.io/b": {"version": "1.x"}, "c": {}}), [
        'spec.devices[0].attributes[c]: Invalid value: "": exactly one value must be specified',
        'spec.devices[0].attributes[x.io/b].version: Invalid value: "1.x": must be a string compatible with semver.org spec 2.0.0']),
    (device(attributes={"a": {"strings": ["x"]}}), [
        'spec.devices[0].attributes[a]: Invalid value: "": exactly one value must be specified']),
    (device(attributes={"/a": {"int": 1}, "a/": {"int": 1}}), [
        'spec.devices[0].attributes[/a]: Invalid value: "": the domain must not be empty',
        'spec.devices[0].attributes[a/]: Invalid value: "": the name must not be empty']),
    (device(taints=[{"key": "k", "effect": "Odd"}, {"key": "k"}]), [
        'spec.devices[0].taints[0].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule", "None"',
        "spec.devices[0].taints[1].effect: Required value"]),
    (device(nodeName="n"), [
        "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to "
        "true in the ResourceSlice spec"]),
    (device(bindingConditions=["a"], bindingFailureConditions=["a", "b", "b"]), [
        'spec.devices[0].bindingFailureConditions[0]: Invalid value: "a": bindingFailureConditions must not overlap with bindingConditions',
        'spec.devices[0].bindingFailureConditions[2]: Duplicate value: "b"']),
    (device(bindingConditions=["a"]), [
        "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions"]),
    (device(consumesCounters=[{"counterSet": "s"}]), ["spec.devices[0].consumesCounters[0].counters: Required value"]),
    (slice_spec(sharedCounters=[{"name": "s", "counters": {"Bad": {"value": "1"}}}]), [
        f'spec.sharedCounters[0].counters[Bad]: Invalid value: "Bad": {LABEL}']),
    (device(capacity={"m": {"value": "1Gi", "requestPolicy": {}}}), [
        "spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"]),
    (device(allowMultipleAllocations=True, capacity={"m": {"value": "10", "requestPolicy": {"validRange": {"min": "2", "step": "3"}}}}), [
        "spec.devices[0].capacity[m].requestPolicy.default: Required value: required when validRange is defined"]),
    (device(allowMultipleAllocations=True, capacity={"m": {"value": "10", "requestPolicy": {
        "default": "6", "validRange": {"min": "2", "max": "12", "step": "3"}}}}), [
        'spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: "12": max is larger than capacity value: 10',
        'spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "6": value is not a multiple of a given step (3) from (2)',
        'spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "12": value is not a multiple of a given step (3) from (2)']),
    (device(allowMultipleAllocations=True, capacity={"m": {"value": "3", "requestPolicy": {"default": "7", "validValues": ["2", "1", "1", "4"]}}}), [
        'spec.devices[0].capacity[m].requestPolicy.validValues[1]: Invalid value: "1": values must be sorted in ascending order',
        'spec.devices[0].capacity[m].requestPolicy.validValues[3]: Invalid value: "4": option is larger than capacity value: 3',
        'spec.devices[0].capacity[m].requestPolicy.validValues[2]: Duplicate value: "1"',
        'spec.devices[0].capacity[m].requestPolicy.validValues: Invalid value: "7": default value is not valid according to the requestPolicy']),
    (slice_spec(devices=[{"name": f"d{i}", "taints": [{"key": "k", "effect": "None"}]} for i in range(65)]), [
        "spec.devices: Too many: 65: must have at most 64 items"]),
])
def test_slices(spec, expected):
    assert told(SLICE, spec) == expected


def test_a_taint_is_dated_when_it_is_added():
    made = created(SLICE, device(taints=[{"key": "k", "effect": "NoExecute"}]))
    assert made["spec"]["devices"][0]["taints"] == [{"key": "k", "effect": "NoExecute", "timeAdded": "2024-01-01T00:00:00Z"}]


def test_what_never_changes_in_a_slice():
    old, new = created(SLICE, slice_spec()), created(SLICE, slice_spec(driver="e.io", nodeName="m"))
    assert [str(error) for error in SLICE.validate_update(new, old, CONTEXT)] == [
        'spec.driver: Invalid value: "e.io": field is immutable', 'spec.nodeName: Invalid value: "m": field is immutable']


STORED = {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"devices": {"requests": [request()]}}, "status": {}}
RESULT = {"request": "r", "driver": "d.io", "pool": "p", "device": "d"}


def status_update(status, before=None, deleting=False):
    old = STORED | {"status": before or {}}
    new = copy.deepcopy(old) | {"status": status}
    new["metadata"] = {"name": "x"} | ({"deletionTimestamp": "2024-01-01T00:00:00Z"} if deleting else {})
    CLAIM.default(new)
    sub = CLAIM.subresource_by_name["status"]
    sub.prepare(new, old, CONTEXT)
    return new, [str(error) for error in sub.validate(new, old, CONTEXT)]


def allocated(*results):
    return {"devices": {"results": list(results)}}


@pytest.mark.parametrize(("status", "before", "expected"), [
    ({"allocation": allocated(RESULT), "reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}, {}, []),
    ({"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}, {}, [
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]),
    ({"allocation": allocated(RESULT), "reservedFor": [{}, {"resource": "r", "name": "n", "uid": "u"}] * 2}, {}, [
        *(f"status.reservedFor[{i}].{field}: Required value" for i in (0, 2) for field in ("resource", "name", "uid")),
        'status.reservedFor[2]: Duplicate value: ""', 'status.reservedFor[3]: Duplicate value: "u"']),
    ({"allocation": allocated(RESULT | {"request": "x", "shareID": "X"})}, {}, [
        f'status.allocation.devices.results[0].request: Invalid value: "x": {NO_REQUEST}',
        'status.allocation.devices.results[0].shareID: Invalid value: "X": error validating uid: invalid UUID length: 1']),
    ({"allocation": {"devices": {"config": [{"source": "Odd", "opaque": {"driver": "d.io", "parameters": {}}}]}}}, {}, [
        'status.allocation.devices.config[0].source: Unsupported value: "Odd": supported values: "FromClaim", "FromClass"']),
    ({"allocation": allocated()}, {"allocation": allocated(RESULT)}, [
        'status.allocation: Invalid value: {"devices":{"results":[]}}: field is immutable']),
    ({"devices": [{"driver": "d.io", "pool": "p", "device": "d", "networkData": {"ips": ["10.0.0.5", "010.0.0.5/24"]}}]}, {}, [
        "status.devices[0]: Invalid value: d.io/p/d: must be an allocated device in the claim",
        'status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.5": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or '
        "2001:db8::1/64)",
        'status.devices[0].networkData.ips[1]: Invalid value: "010.0.0.5/24": must be in canonical form ("10.0.0.5/24")']),
    ({"allocation": allocated(RESULT), "devices": [{"driver": "d.io", "pool": "p", "device": "d", "conditions": [{"type": "R", "status": "Odd"}]}]}, {}, [
        'status.devices[0].conditions[0].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown"',
        "status.devices[0].conditions[0].lastTransitionTime: Required value: must be set",
        "status.devices[0].conditions[0].reason: Required value: must be set"]),
])
def test_the_status_of_claims(status, before, expected):
    assert status_update(status, before)[1] == expected


def test_nobody_new_uses_a_claim_that_is_being_deleted():
    before = {"allocation": allocated(RESULT)}
    _, errors = status_update(before | {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}, before, deleting=True)
    assert errors == [
        "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"]


def test_what_was_reported_of_a_device_goes_with_the_device():
    reported = [{"driver": "d.io", "pool": "p", "device": "d"}]
    new, errors = status_update({"devices": reported}, {"allocation": allocated(RESULT), "devices": reported})
    assert not errors and new["status"] == {} and new["metadata"]["labels"] == {"a": "b"}
