"""RBAC: decisions and reasons by table, cache coherence by property, bootstrap roles as published."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.apiserver.authz.attributes import Attributes, refusal
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.authz.bootstrap import bootstrap_objects, controller_role, reconcile
from tiffin.apiserver.authz.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from tiffin.apiserver.authz.rules import Compiled, breakdown, compact, describe, missing
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.user import ANONYMOUS_USER, User
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object
from tiffin.runtime.controller import PolicyRule

ALICE = User("alice", groups=("devs", "system:authenticated"))


def role(name: str, *rules: dict[str, Any], namespace: str = "") -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"kind": "Role" if namespace else "ClusterRole", "metadata": metadata, "rules": list(rules)}


def binding(name: str, reference: str, *subjects: tuple[str, ...], namespace: str = "") -> Object:
    kind, _, target = reference.partition("/")
    listed = [dict(zip(("kind", "name", "namespace"), subject)) for subject in subjects]
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": target, "apiGroup": GROUP}, "subjects": listed}


def rule(verbs: str, groups: str, resources: str, names: str = "") -> dict[str, Any]:
    listed = [group if group != "-" else "" for group in groups.split()]
    found: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": listed, "resources": resources.split()}
    return found | ({"resourceNames": names.split()} if names else {})


def cluster(*objects: tuple[Any, Object]) -> tuple[MemoryReader, Authorizer]:
    reader = MemoryReader()
    for resource, obj in objects:
        reader.put(resource, obj)
    return reader, Authorizer(reader)


def pods(verb: str, namespace: str = "a", name: str = "", user: User = ALICE, resource: str = "pods", subresource: str = "") -> Attributes:
    return Attributes(user, verb, "", "v1", resource, subresource, namespace, name)


def test_what_roles_and_bindings_allow() -> None:
    _, authorizer = cluster(
        (ROLES, role("reader", rule("get list", "-", "pods pods/log"), namespace="a")),
        (ROLES, role("one", rule("update", "-", "pods", "x y"), namespace="a")),
        (CLUSTER_ROLES, role("nodes", rule("get", "-", "nodes"), {"nonResourceURLs": ["/metrics", "/debug/*"], "verbs": ["get"]})),
        (CLUSTER_ROLES, role("scale", rule("*", "apps", "*/scale"))),
        (ROLE_BINDINGS, binding("r", "Role/reader", ("User", "alice"), namespace="a")),
        (ROLE_BINDINGS, binding("o", "Role/one", ("Group", "devs"), namespace="a")),
        (ROLE_BINDINGS, binding("s", "ClusterRole/scale", ("ServiceAccount", "robot"), namespace="a")),
        (CLUSTER_ROLE_BINDINGS, binding("n", "ClusterRole/nodes", ("User", "alice"))),
    )
    robot = User("system:serviceaccount:a:robot")
    table = [
        (pods("get"), True),
        (pods("get", name="z", subresource="log"), True),
        (pods("get", name="z", subresource="exec"), False),
        (pods("get", "b"), False),
        (pods("get", ""), False),
        (pods("update", name="x"), True),
        (pods("update", name="z"), False),
        (pods("update"), False),
        (pods("get", "", "n", resource="nodes"), True),
        (Attributes(ALICE, "get", path="/metrics", is_resource=False), True),
        (Attributes(ALICE, "get", path="/debug/x", is_resource=False), True),
        (Attributes(ALICE, "get", path="/metricsx", is_resource=False), False),
        (Attributes(ALICE, "post", path="/metrics", is_resource=False), False),
        (Attributes(robot, "patch", "apps", "v1", "deployments", "scale", "a", "d"), True),
        (Attributes(robot, "patch", "apps", "v1", "deployments", "", "a", "d"), False),
        (Attributes(robot, "patch", "apps", "v1", "deployments", "scale", "b", "d"), False),
        (Attributes(User("x", groups=("system:masters",)), "any", "any", "v1", "thing"), True),
    ]
    for _ in range(2):  # the second time from the cache
        assert [(a, authorizer.authorize(a).allowed) for a, _ in table] == table


def test_reasons() -> None:
    reader, authorizer = cluster(
        (ROLES, role("reader", rule("get", "-", "pods"), namespace="a")),
        (ROLE_BINDINGS, binding("r", "Role/reader", ("ServiceAccount", "robot", "b"), namespace="a")),
        (ROLE_BINDINGS, binding("gone", "Role/none", ("User", "alice"), namespace="a")),
        (CLUSTER_ROLE_BINDINGS, binding("lost", "ClusterRole/none", ("User", "bob"))),
    )
    allowed = authorizer.authorize(pods("get", user=User("system:serviceaccount:b:robot")))
    assert allowed.reason == 'RBAC: allowed by RoleBinding "r/a" of Role "reader" to ServiceAccount "robot/b"'
    refused = authorizer.authorize(pods("get"))
    assert refused.reason == f'RBAC: role.{GROUP} "none" not found'
    assert authorizer.authorize(pods("get", user=User("bob"))).reason == f'RBAC: clusterrole.{GROUP} "none" not found'
    error = refusal(pods("get", name="p"), refused.reason)
    assert error.message == (
        'pods "p" is forbidden: User "alice" cannot get resource "pods" in API group "" in the namespace "a": '
        f'RBAC: role.{GROUP} "none" not found'
    )
    assert error.details == {"name": "p", "kind": "pods"}
    reader.put(ROLES, role("none", rule("get", "-", "pods"), namespace="a"))
    assert authorizer.authorize(pods("get")).allowed


def test_refusals_of_paths_and_of_cluster_scope() -> None:
    path = refusal(Attributes(ALICE, "get", path="/metrics", is_resource=False))
    assert (path.message, path.details) == ('forbidden: User "alice" cannot get path "/metrics"', {})
    listed = refusal(Attributes(ALICE, "list", GROUP, "v1", "clusterroles"))
    assert listed.message == (
        f'clusterroles.{GROUP} is forbidden: User "alice" cannot list resource "clusterroles" in API group "{GROUP}" at the cluster scope'
    )


names = st.sampled_from(["", "x", "y"])
rules = st.builds(
    lambda verbs, resources, names: rule(" ".join(verbs), "-", " ".join(resources), " ".join(n for n in names if n)),
    st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=2),
    st.lists(st.sampled_from(["pods", "secrets", "pods/log", "*", "*/log"]), min_size=1, max_size=2),
    st.lists(names, max_size=2),
)


@given(
    st.lists(rules, max_size=4),
    st.lists(st.tuples(st.sampled_from(["get", "list"]), st.sampled_from(["pods", "secrets"]), names), max_size=12),
)
def test_the_cache_never_changes_a_decision(granted: list[dict[str, Any]], asked: list[tuple[str, str, str]]) -> None:
    _, authorizer = cluster((CLUSTER_ROLES, role("r", *granted)), (CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole/r", ("User", "alice"))))
    for verb, resource, name in asked:
        a = pods(verb, name=name, resource=resource)
        assert authorizer.authorize(a).allowed == any(Compiled(r).allows(a) for r in granted)


@given(st.lists(rules, max_size=3), st.lists(rules, max_size=3))
def test_what_is_not_missing_is_allowed(owned: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Coverage is sound: whoever holds all of `wanted` by the check can do everything `wanted` allows."""
    if missing(owned, wanted):
        return
    for verb in ("get", "list"):
        for resource, subresource in (("pods", ""), ("pods", "log"), ("secrets", ""), ("nodes", "log")):
            for name in ("", "x", "y", "z"):
                a = pods(verb, name=name, resource=resource, subresource=subresource)
                if any(Compiled(r).allows(a) for r in wanted):
                    assert any(Compiled(r).allows(a) for r in owned)


def test_missing_rules_are_named_compactly() -> None:
    wanted = [rule("get list", "- apps", "pods"), {"nonResourceURLs": ["/x"], "verbs": ["get"]}, rule("get", "-", "secrets", "a b")]
    lacking = compact(missing([rule("get", "-", "pods")], wanted))
    assert sorted(describe(r) for r in lacking) == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}',
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["a"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}',
        '{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "list"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]
    assert len(breakdown(rule("get list", "- apps", "pods"))) == 4


def bootstrapped() -> tuple[MemoryReader, Authorizer]:
    reader = MemoryReader()
    for resource, obj, old in reconcile(reader, bootstrap_objects()):
        assert old is None
        reader.put(resource, obj)
    return reader, Authorizer(reader)


def test_bootstrap_roles() -> None:
    reader, authorizer = bootstrapped()
    bob = User("bob", groups=("system:authenticated",))
    table = [
        (Attributes(bob, "get", path="/apis/apps/v1", is_resource=False), True),
        (Attributes(bob, "get", path="/metrics", is_resource=False), False),
        (Attributes(ANONYMOUS_USER, "get", path="/healthz", is_resource=False), True),
        (Attributes(ANONYMOUS_USER, "get", path="/version", is_resource=False), True),
        (Attributes(ANONYMOUS_USER, "get", path="/api", is_resource=False), False),
        (Attributes(bob, "create", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"), True),
        (Attributes(ANONYMOUS_USER, "create", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"), False),
        (Attributes(User("system:kube-scheduler"), "create", "", "v1", "pods", "binding", "a", "p"), True),
        (Attributes(User("system:kube-proxy"), "watch", "discovery.k8s.io", "v1", "endpointslices"), True),
        (Attributes(User("system:serviceaccount:kube-system:job-controller"), "create", "", "v1", "pods", "", "a"), True),
    ]
    assert [(a, authorizer.authorize(a).allowed) for a, _ in table] == table
    assert list(reconcile(reader, bootstrap_objects())) == []
    reader.put(ROLE_BINDINGS, binding("edit", "ClusterRole/edit", ("User", "bob"), namespace="a"))
    assert authorizer.authorize(pods("delete", user=bob)).allowed
    assert not authorizer.authorize(Attributes(bob, "create", GROUP, "v1", "roles", "", "a")).allowed


def test_an_administrators_additions_survive_and_missing_rules_come_back() -> None:
    reader, _ = bootstrapped()
    stored = reader.get(CLUSTER_ROLES, "", "system:node-problem-detector")
    assert stored is not None
    reader.put(CLUSTER_ROLES, stored | {"rules": [stored["rules"][0], rule("get", "-", "secrets")]})
    [(resource, obj, old)] = reconcile(reader, bootstrap_objects())
    assert resource == CLUSTER_ROLES and old is not None
    assert rule("get", "-", "secrets") in obj["rules"] and not missing(obj["rules"], stored["rules"])


def test_a_controllers_own_role() -> None:
    created = controller_role("x-controller", [PolicyRule(("apps",), ("deployments",), ("get",))])
    assert [o["kind"] for o in created] == ["ClusterRole", "ClusterRoleBinding"]
    assert created[1]["subjects"] == [{"kind": "ServiceAccount", "name": "x-controller", "namespace": "kube-system"}]


def test_forbidden_is_an_api_error() -> None:
    _, authorizer = cluster()
    with pytest.raises(ApiError) as caught:
        authorizer.check(pods("list"))
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
