"""Volumes of pods and PersistentVolumes that are refused, one row each."""
from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.core import persistentvolume, persistentvolumeclaim
from tiffin.api.core.pod import KIND
from tiffin.api.core.podspec.volumes import validate_volumes
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
IQN = "iqn.2001-04.com.example:storage.disk1"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def beginnings(found: list[str], expected: list[str]) -> bool:
    return len(found) == len(expected) and all(f.startswith(e) for f, e in zip(found, expected))


@pytest.mark.parametrize("source, errors", [
    ({"iscsi": {"targetPortal": "p", "iqn": IQN, "initiatorName": IQN}}, []),
    ({"iscsi": {"targetPortal": "p", "iqn": "iqn.x"}}, ['.iscsi.iqn: Invalid value: "iqn.x": must be valid format']),
    ({"iscsi": {"targetPortal": "p", "iqn": "eui.0123456789abcdef"}}, []),
    ({"iscsi": {"targetPortal": "p", "iqn": IQN, "initiatorName": "x"}},
     ['.iscsi.initiatorname: Invalid value: "x": must be valid format starting with iqn, eui, or naa']),
    ({"iscsi": {"targetPortal": "p" * 64, "iqn": IQN, "initiatorName": IQN}}, ['.name: Invalid value: "v": Total length of <volume name>:<iscsi.']),
    ({"cinder": {"volumeID": "v", "secretRef": {}}}, [".cinder.secretRef.name: Required value"]),
    ({"storageos": {"volumeName": "Up", "secretRef": {}}}, ['.storageos.volumeName: Invalid value: "Up"', ".storageos.secretRef.name: Required value"]),
    ({"flexVolume": {"driver": "d", "options": {"a.kubernetes.io/x": "y", "z": "1"}}},
     ['.flexVolume.options[a.kubernetes.io/x]: Invalid value: "a.kubernetes.io/x": kubernetes.io and k8s.io namespaces are reserved']),
    ({"quobyte": {"registry": "a:1,b", "volume": "v"}}, ['.quobyte.registry: Invalid value: "a:1,b": must be a host:port pair']),
    ({"quobyte": {"registry": "[::1]:7", "volume": "v", "tenant": "t" * 65}}, [".quobyte.tenant: Required value: must be a UUID and may not exceed"]),
    ({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "Bad_Name"}}}, ['.csi.name: Invalid value: "Bad_Name"']),
    ({"image": {}}, [".image.reference: Required value"]),
    ({"emptyDir": {}, "downwardAPI": {}, "cephfs": {}}, [".cephFS: Forbidden: may not specify", ".downwarAPI: Forbidden: may not specify more than 1"]),
    ({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x", "uid": "y", "labels": {"a b": ""}}, "spec": CLAIM}}},
     ['.ephemeral.volumeClaimTemplate.metadata.labels: Invalid value: "a b"', ".ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
      ".ephemeral.volumeClaimTemplate.metadata.uID: Forbidden: cannot be set"]),
    ({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}] * 2}}, []),
])
def test_pods(source: dict[str, Any], errors: list[str]) -> None:
    _, found = validate_volumes([{"name": "v"} | source], "", "p")
    assert beginnings([str(e).removeprefix("[0]") for e in found], errors), found


def test_what_depends_on_the_name_of_the_pod() -> None:
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}
    _, found = validate_volumes([volume], "", "p" * 252)
    assert str(found[0]).startswith(f'[0].name: Invalid value: "v": PVC name "{"p" * 252}-v": must be no more than 253 characters')
    assert validate_volumes([volume, {"name": "i", "image": {"pullPolicy": "Always"}}], "")[1] == []


def test_projections_that_are_switched_off_are_dropped() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"volumes": [{"name": "v", "projected": {"sources": [{"podCertificate": {"signerName": "x"}}]}}]}}
    KIND.default(pod)
    assert pod["spec"]["volumes"][0]["projected"]["sources"] == [{}]


def volume(**spec: Any) -> dict[str, Any]:
    made = {"metadata": {"name": "v", "resourceVersion": "1"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]} | spec}
    persistentvolume.KIND.default(made)
    return made


@pytest.mark.parametrize("spec, errors", [
    ({"hostPath": {"path": "/a"}}, []),
    ({"hostPath": {"path": "/a"}, "nfs": {"server": "s", "path": "/"}}, [".nfs: Forbidden: may not specify more than 1 volume type"]),
    ({"hostPath": {"path": "/a"}, "flexVolume": {"driver": "d"}}, []),
    ({"hostPath": {"path": "/a"}, "capacity": {"storage": "-1"}},
     [".capacity[storage]: Invalid value: -1: must be a valid resource quantity", '.capacity[storage]: Invalid value: "-1": must be greater than zero']),
    ({"hostPath": {"path": "/a"}, "accessModes": ["ReadWriteOncePod", "Odd"]}, ['.accessModes: Unsupported value: "Odd"']),
    ({"glusterfs": {"endpoints": "e", "path": "p", "endpointsNamespace": ""}}, ['.glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace']),
    ({"cinder": {"volumeID": "v", "secretRef": {"name": "s"}}}, [".cinder.secretRef.namespace: Required value"]),
    ({"iscsi": {"targetPortal": "p", "iqn": "bad", "secretRef": {}}},
     ['.iscsi.iqn: Invalid value: "bad": must be valid format', ".iscsi.secretRef.name: Required value"]),
    ({"csi": {"driver": "d", "volumeHandle": "h", "nodeExpandSecretRef": {"name": "Up"}}},
     ['.csi.nodeExpandSecretRef.name: Invalid value: "Up"', ".csi.nodeExpandSecretRef.namespace: Required value"]),
    ({"local": {"path": "../a"}}, [".local.path: Invalid value: \"../a\": must not contain '..'", ".nodeAffinity: Required value: Local volume requires"]),
    ({"storageClassName": "c"}, [": Required value: must specify a volume type"]),
])
def test_persistent_volumes(spec: dict[str, Any], errors: list[str]) -> None:
    found = [str(e).removeprefix("spec") for e in persistentvolume.KIND.validate(volume(**spec), CONTEXT)]
    assert beginnings(found, errors), found


def affinity(key: str) -> dict[str, Any]:
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}]}}


@pytest.mark.parametrize("before, after, errors", [
    ({}, {"hostPath": {"path": "/b"}}, ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"]),
    ({"nodeAffinity": affinity("beta.kubernetes.io/os")}, {"nodeAffinity": affinity("kubernetes.io/os")}, []),
    ({"nodeAffinity": affinity("a")}, {"nodeAffinity": affinity("b")},
     ['nodeAffinity: Invalid value: {"Required":{"NodeSelectorTerms":[{"MatchExpressions":[{"Key":"b","Operator":"In","Values":["a"]}],"MatchFields":null}]}}: '
      "field is immutable, except for updating from beta label to GA"]),
    ({"nodeAffinity": affinity("a")}, {"nodeAffinity": None}, ["nodeAffinity: Invalid value: null: field is immutable, except"]),
])
def test_updates_of_persistent_volumes(before: dict[str, Any], after: dict[str, Any], errors: list[str]) -> None:
    old, new = volume(hostPath={"path": "/a"}, **before), volume(**({"hostPath": {"path": "/a"}} | before | after))
    found = [str(e) for e in persistentvolume.KIND.validate_update(new, old, CONTEXT)]
    assert beginnings(found, errors), found


def claim(bound: bool = False, **spec: Any) -> dict[str, Any]:
    made = {"metadata": {"name": "c", "namespace": "n"}, "spec": copy.deepcopy(CLAIM) | spec, "status": {"phase": "Bound" if bound else "Pending"}}
    persistentvolumeclaim.KIND.default(made)
    return made


@pytest.mark.parametrize("old, new, errors", [
    (claim(), claim(volumeName="v"), []),
    (claim(), claim(storageClassName="fast"), []),
    (claim(storageClassName="a"), claim(storageClassName="b"), ["spec: Forbidden: spec is immutable after creation except resources.requests and"]),
    (claim(True), claim(True, resources={"requests": {"storage": "2Gi"}}), []),
    (claim(), claim(resources={"requests": {"storage": "2Gi"}}), ["spec: Forbidden: spec is immutable after creation"]),
    (claim(True), claim(True, resources={"requests": {"storage": "1Gi", "x": "1"}}), ["spec: Forbidden: spec is immutable after creation"]),
    (claim(volumeAttributesClassName="a"), claim(), ["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"]),
    (claim(volumeAttributesClassName="a"), claim(volumeAttributesClassName=""), ["spec.volumeAttributesClassName: Forbidden: update from non-nil value to an"]),
])
def test_updates_of_claims(old: dict[str, Any], new: dict[str, Any], errors: list[str]) -> None:
    found = [str(e) for e in persistentvolumeclaim.KIND.validate_update(new, old, CONTEXT)]
    assert beginnings(found, errors), found


@pytest.mark.parametrize("status, errors", [
    ({"allocatedResources": {"cpu": "1"}}, ['status.allocatedResources: Unsupported value: "cpu": supported values: "storage"']),
    ({"allocatedResources": {"storage": "-1"}}, ["status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity"]),
    ({"allocatedResourceStatuses": {"example.com/x": "NodeResizePending"}}, []),
])
def test_statuses_of_claims(status: dict[str, Any], errors: list[str]) -> None:
    new = claim() | {"status": status}
    assert [str(e) for e in persistentvolumeclaim.KIND.subresource_by_name["status"].validate(new, claim(), CONTEXT)] == errors


@pytest.mark.parametrize("spec, kept", [
    ({"dataSource": {"kind": "Odd", "name": "x"}}, set()),
    ({"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}, {"dataSource", "dataSourceRef"}),
    ({"dataSourceRef": {"apiGroup": "a.b", "kind": "Odd", "name": "x"}}, {"dataSource", "dataSourceRef"}),
    ({"dataSourceRef": {"apiGroup": "a.b", "kind": "Odd", "name": "x", "namespace": "y"}}, set()),
])
def test_data_sources(spec: dict[str, Any], kept: set[str]) -> None:
    made = claim(**spec)
    persistentvolumeclaim.KIND.prepare_for_create(made, CONTEXT)
    assert {field for field in made["spec"] if field.startswith("dataSource")} == kept
