"""Nodes, secrets, accounts, events and daemon sets: what is refused and what is warned about."""
from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.apps.daemonset import KIND as DAEMON_SET
from tiffin.api.core.endpoints import KIND as ENDPOINTS
from tiffin.api.core.event import KIND as EVENT
from tiffin.api.core.node import KIND as NODE
from tiffin.api.core.persistentvolume import KIND as VOLUME
from tiffin.api.core.secret import KIND as SECRET
from tiffin.api.core.serviceaccount import KIND as ACCOUNT
from tiffin.api.kind import Context, Kind

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
EVENTS_V1 = Context(datetime(2024, 1, 1, tzinfo=UTC), api_version="events.k8s.io/v1")
MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("kind, fields, errors", [
    (NODE, {"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}},
     ['spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one CIDR for each IP family']),
    (NODE, {"spec": {"podCIDRs": ["10.0.0.1/24"]}},
     ['spec.podCIDRs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length']),
    (NODE, {"spec": {"podCIDRs": ["x", "10.0.0.0/24"]}},
     ['spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      "spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:failed to parse cidr value:\"x\" with "
      "error:invalid CIDR address: x",
      'spec.podCIDRs: Invalid value: ["x","10.0.0.0/24"]: may specify no more than one CIDR for each IP family']),
    (NODE, {"status": {"nodeInfo": {"swap": {"capacity": 0}}}},
     ["metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero"]),
    (NODE, {"spec": {"configSource": {"configMap": {"namespace": "a"}}}}, []),
    (SECRET, {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": coded("[]")}},
     ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go value of type '
      "map[string]interface {}"]),
    (SECRET, {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": coded("{")}},
     ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input']),
    (DAEMON_SET, {"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}},
     ['spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`']),
    (ENDPOINTS, {"subsets": [{"addresses": [{"ip": "010.0.0.1"}]}]},
     ['subsets[0].addresses[0].ip: Invalid value: "010.0.0.1": must not have leading 0s']),
])
def test_creation(kind: Kind, fields: dict[str, Any], errors: list[str]) -> None:
    made = {"metadata": {"name": "x", "namespace": "" if kind is NODE else "n"}} | fields
    kind.default(made)
    kind.prepare_for_create(made, CONTEXT)
    assert [str(e) for e in kind.validate(made, CONTEXT)] == errors


@pytest.mark.parametrize("kind, fields, warned", [
    (NODE, {"spec": {"externalID": "x", "configSource": {}}},
     ["spec.configSource: the feature is removed", "spec.externalID: this field is deprecated, and is unused by Kubernetes"]),
    (ACCOUNT, {"metadata": {"name": "a", "annotations": {MOUNTABLE: "true"}}},
     [f"metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"]),
    (SECRET, {"type": "kubernetes.io/tls", "data": {"tls.crt": coded("x"), "tls.key": coded("y")}},
     ["tls: failed to find any PEM data in certificate input"]),
    (VOLUME, {"spec": {"persistentVolumeReclaimPolicy": "Recycle"}},
     ["spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic "
      "provisioning."]),
])
def test_warnings(kind: Kind, fields: dict[str, Any], warned: list[str]) -> None:
    assert kind.warnings({"metadata": {"name": "x"}} | fields, None) == warned


def event(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "e", "namespace": "default"}, "involvedObject": {}, "eventTime": "2024-01-01T00:00:00.000000Z", "type": "Normal",
        "reason": "R", "action": "A", "reportingComponent": "c", "reportingInstance": "i",
    } | fields


def test_a_series_is_checked_where_it_changes() -> None:
    old, new = event(), event(series={"count": 1})
    assert [str(e) for e in EVENT.validate_update(new, old, EVENTS_V1)] == [
        'series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"]
    assert EVENT.validate_update(new, new, EVENTS_V1) == [] and EVENT.validate_update(new, old, CONTEXT) == []


@pytest.mark.parametrize("before, after, count", [
    ([], ["10.0.0.0/24"], 0), (["10.0.0.0/24"], [], 1), (["10.0.0.0/24", "::/64"], ["10.0.1.0/24", "1::/64"], 2),
])
def test_ranges_of_nodes_are_set_once(before: list[str], after: list[str], count: int) -> None:
    old, new = ({"metadata": {"name": "x"}, "spec": {"podCIDRs": ranges}} for ranges in (before, after))
    found = [e for e in NODE.validate_update(new, old, CONTEXT) if e.message.startswith("Forbidden")]
    assert len(found) == count
