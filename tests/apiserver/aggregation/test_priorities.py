"""The order of groups, and the APIServices of what is served here."""
from __future__ import annotations

from tiffin.api.kind import builtin_kinds
from tiffin.apiserver.aggregation.priorities import Priority, built_in, order, priority
from tiffin.apiserver.registry import Registry


def test_built_in_groups_come_in_the_order_of_their_priorities() -> None:
    groups = Registry(builtin_kinds()).groups()
    assert order({(group, version): priority(group, version) for group, versions in groups.items() for version in versions}) == groups


def test_groups_and_versions_of_other_servers_take_their_place() -> None:
    versions = {("apps", "v1"): priority("apps", "v1"), ("x.io", "v1"): Priority(1000, 5), ("x.io", "v2"): Priority(1000, 9),
                ("a.io", "v1beta1"): Priority(20000, 10), ("a.io", "v1"): Priority(100, 10), ("", "v1"): priority("", "v1")}  # fmt: skip
    assert order(versions) == {"": ["v1"], "a.io": ["v1", "v1beta1"], "apps": ["v1"], "x.io": ["v2", "v1"]}


def test_every_group_version_but_the_registration_itself_has_an_api_service() -> None:
    names = {obj["metadata"]["name"]: obj for obj in built_in((s.resource.group, s.resource.version) for s in Registry(builtin_kinds()))}
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.flowcontrol.apiserver.k8s.io"} <= names.keys()
    assert "v1.apiregistration.k8s.io" not in names
    spec = names["v2.autoscaling"]["spec"]
    assert spec == {"group": "autoscaling", "groupPriorityMinimum": 17500, "version": "v2", "versionPriority": 30}
    assert names["v1."]["spec"] == {"group": "", "groupPriorityMinimum": 18000, "version": "v1", "versionPriority": 1}
    assert names["v1.apps"]["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
