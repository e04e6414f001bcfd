"""Services: what is refused, what may change, what is warned about."""
from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.core.service import KIND
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))


def service(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    made = {"metadata": {"name": "s", "annotations": annotations or {}}, "spec": {"ports": [{"port": 80}]} | spec}
    KIND.default(made)
    KIND.prepare_for_create(made, CONTEXT)
    return made


@pytest.mark.parametrize("spec, errors", [
    ({}, []),
    ({"externalIPs": ["01.2.3.4"]}, ['spec.externalIPs[0]: Invalid value: "01.2.3.4": must not have leading 0s']),
    ({"externalIPs": ["::ffff:1.2.3.4"]}, ['spec.externalIPs[0]: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address']),
    ({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8", " 010.0.0.0/8", "10.0.0.0/08"]},
     ['spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
      'spec.LoadBalancerSourceRanges[1]: Invalid value: "010.0.0.0/8": must not have leading 0s in IP or prefix length',
      'spec.LoadBalancerSourceRanges[2]: Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length']),
    ({"type": "LoadBalancer", "ports": [{"port": 10250}]}, []),
    ({"annotations": {"service.kubernetes.io/topology-mode": "Auto", "service.kubernetes.io/topology-aware-hints": "Disabled"}},
     ['metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": must match '
      "annotations[service.kubernetes.io/topology-aware-hints] when both are specified"]),
])
def test_creation(spec: dict[str, Any], errors: list[str]) -> None:
    assert [str(e) for e in KIND.validate(service(**spec), CONTEXT)] == errors


LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "clusterIP": "10.96.0.9"}


@pytest.mark.parametrize("before, after, errors", [
    (LOCAL | {"healthCheckNodePort": 30001}, {"healthCheckNodePort": 30002}, ["spec.healthCheckNodePort: Forbidden: field is immutable"]),
    (LOCAL | {"loadBalancerClass": "a.b/c"}, {"loadBalancerClass": "a.b/d"}, ['spec.loadBalancerClass: Invalid value: "a.b/d": may not change once set']),
    ({"clusterIP": "10.96.0.9", "externalIPs": ["01.2.3.4"]}, {"externalIPs": ["01.2.3.4", "02.2.3.4"]},
     ['spec.externalIPs[1]: Invalid value: "02.2.3.4": must not have leading 0s']),
    ({"clusterIP": "None"}, {"ipFamilies": ["IPv6"]}, []),
    ({"clusterIP": "10.96.0.9"}, {"ipFamilies": ["IPv6"]}, ['spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set',
                                                             'spec.clusterIPs[0]: Invalid value: "10.96.0.9": expected an IPv6 value as indicated']),
])
def test_changes(before: dict[str, Any], after: dict[str, Any], errors: list[str]) -> None:
    old = service(**before)
    new = copy.deepcopy(old)
    new["spec"] |= after
    found = [str(e) for e in KIND.validate_update(new, old, CONTEXT)]
    assert len(found) == len(errors) and all(f.startswith(e) for f, e in zip(found, errors)), found


@pytest.mark.parametrize("spec, warned", [
    ({}, []),
    ({"clusterIP": "None", "sessionAffinity": "ClientIP", "externalIPs": ["1.2.3.4"], "loadBalancerIP": "1.2.3.4"},
     ["spec.loadBalancerIP is ignored for headless services", "spec.externalIPs is ignored for headless services",
      "spec.SessionAffinity is ignored for headless services"]),
    ({"type": "ExternalName", "externalName": "a.b", "externalIPs": ["1.2.3.4"]}, ['spec.externalIPs is ignored when spec.type is "ExternalName"']),
    ({"externalIPs": ["2001:DB8::1"]},
     ['spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
      "spec.externalIPs is deprecated and may no longer be implemented in some clusters"]),
    ({"type": "LoadBalancer", "loadBalancerSourceRanges": ["2001:DB8::/32"]},
     ['spec.loadBalancerSourceRanges[0]: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")']),
    ({"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}},
     ["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"]),
])
def test_warnings(spec: dict[str, Any], warned: list[str]) -> None:
    assert KIND.warnings(service(**spec), None) == warned
