"""Metadata: what is refused, in which order, in which words."""
from __future__ import annotations

import pytest

from tiffin.api.kind import dns_subdomain_name
from tiffin.machinery import validation as v

GOOD = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2024-01-01T00:00:00Z"}


def create(**metadata):
    return [str(e)[:90] for e in v.validate_object_meta({"name": "a", "namespace": "n"} | metadata, namespaced=True, name_validator=dns_subdomain_name)]


@pytest.mark.parametrize("metadata, errors", [
    ({}, []),
    ({"name": ""}, ["metadata.name: Required value: name or generateName is required"]),
    ({"namespace": ""}, ["metadata.namespace: Required value"]),
    ({"namespace": "a.b"}, ['metadata.namespace: Invalid value: "a.b": must not contain dots']),
    ({"generation": -1}, ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"]),
    ({"annotations": {"A/b": "x"}}, []),
    ({"annotations": {"a": "x" * v.ANNOTATIONS_LIMIT}}, ["metadata.annotations: Too long: may not be more than 262144 bytes"]),
    ({"finalizers": ["noslash"]}, ['metadata.finalizers[0]: Invalid value: "noslash": name is neither a standard']),
    ({"finalizers": ["orphan", "foregroundDeletion"]}, ['metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and'[:90]]),
    ({"ownerReferences": [{"apiVersion": "a/b/c", "kind": "K", "name": "x", "uid": "u"}]},
     ['metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty']),
    ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x"}]}, ['metadata.ownerReferences.uid: Invalid value: "": must not be empty']),
    ({"managedFields": [{"operation": "Odd", "fieldsType": "F", "manager": "m\x07"}]}, [
        'metadata.managedFields[0].operation: Invalid value: "Odd": must be `Apply` or `Update`',
        'metadata.managedFields[0].fieldsType: Invalid value: "F": must be `FieldsV1`',
        'metadata.managedFields[0].manager: Invalid value: "m\\a": invalid character U+0007']),
])
def test_create(metadata, errors):
    found = create(**metadata)
    assert len(found) == len(errors) and all(f.startswith(e) for f, e in zip(found, errors))


def test_cluster_scoped_objects_have_no_namespace():
    (error,) = v.validate_object_meta({"name": "a", "namespace": "n"}, namespaced=False, name_validator=dns_subdomain_name)
    assert str(error) == "metadata.namespace: Forbidden: not allowed on this type"


def test_labels_are_reported_by_key():
    found = v.validate_labels({"b c": "d", "a b": "e f"}, "l")
    assert [e.message.split('"')[1] for e in found] == ["a b", "e f", "b c"]


def test_one_controller_and_no_events():
    owners = [{"apiVersion": "v1", "kind": "A", "name": "x", "uid": "a", "controller": True}, {"apiVersion": "v1", "kind": "B", "name": "y", "uid": "b", "controller": True}]
    (error,) = v.validate_owner_references(owners, "o")
    assert error.message.endswith('Only one reference can have Controller set to true. Found "true" in references for A/x and B/y')
    (error,) = v.validate_owner_references([{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "a"}], "o")
    assert error.message == 'Invalid value: {"apiVersion":"v1","kind":"Event","name":"x","uid":"a"}: /v1, Kind=Event is disallowed from being an owner'


@pytest.mark.parametrize("old, new, error", [
    ({}, {"uid": "other"}, 'metadata.uid: Invalid value: "other": field is immutable'),
    ({}, {"deletionGracePeriodSeconds": 4}, "metadata.deletionGracePeriodSeconds: Invalid value: 4: field is immutable"),
    ({}, {"resourceVersion": ""}, 'metadata.resourceVersion: Invalid value: "": must be specified for an update'),
    ({"generation": 3}, {"generation": 2}, "metadata.generation: Invalid value: 2: must not be decremented"),
    ({"deletionTimestamp": "t"}, {"deletionTimestamp": "t", "finalizers": ["a/b"]},
     'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a/b"}'),
])
def test_update(old, new, error):
    assert [str(e) for e in v.validate_object_meta_update(GOOD | new, GOOD | old)] == [error]


def test_what_a_client_leaves_out_is_taken_over():
    new = {"name": "a", "creationTimestamp": "2001-01-01T00:00:00Z"}
    v.take_over_metadata(new, GOOD | {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 5})
    assert new == {"name": "a", "uid": "u", "creationTimestamp": GOOD["creationTimestamp"], "deletionTimestamp": "t", "deletionGracePeriodSeconds": 5}
    assert v.validate_common_update(GOOD, GOOD, namespaced=True) == []


def test_empty_and_absent_containers_are_equal():
    assert v.validate_immutable_field([], None, "x") == [] and v.validate_immutable_field(0, None, "x")
