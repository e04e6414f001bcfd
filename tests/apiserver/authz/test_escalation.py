"""Attack 26: a user creates a role or a binding beyond its own rights."""

from __future__ import annotations

import pytest
from test_rbac import ALICE, binding, cluster, role, rule

from tiffin.apiserver.authz.escalation import check_escalation
from tiffin.apiserver.authz.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from tiffin.apiserver.user import User
from tiffin.machinery.errors import ApiError

WHO = 'user "alice" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'


def holding(*rules: dict[str, object]) -> object:
    return cluster(
        (ROLES, role("own", *rules, namespace="a")),
        (ROLE_BINDINGS, binding("own", "Role/own", ("User", "alice"), namespace="a")),
        (CLUSTER_ROLES, role("target", rule("get", "-", "pods"))),
    )[1]


def test_a_role_beyond_ones_own() -> None:
    authorizer = holding(rule("get", "-", "pods"))
    wanted = role("more", rule("get list", "-", "pods"), rule("*", "*", "*"), namespace="a")
    with pytest.raises(ApiError) as caught:
        check_escalation(authorizer, ALICE, "roles", "a", wanted, None)
    assert caught.value.message == f'roles.{GROUP} "more" is forbidden: {WHO}' + (
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}\n{APIGroups:["*"], Resources:["*"], Verbs:["*"]}'
    )
    check_escalation(authorizer, ALICE, "roles", "a", role("same", rule("get", "-", "pods", "x"), namespace="a"), None)
    check_escalation(authorizer, User("root", groups=("system:masters",)), "roles", "a", wanted, None)


def test_rights_in_a_namespace_are_none_in_the_cluster() -> None:
    with pytest.raises(ApiError):
        check_escalation(holding(rule("get", "-", "pods")), ALICE, "clusterroles", "", role("c", rule("get", "-", "pods")), None)


def test_escalate_allows_any_role() -> None:
    authorizer = holding(rule("escalate", GROUP, "roles"))
    check_escalation(authorizer, ALICE, "roles", "a", role("more", rule("*", "*", "*"), namespace="a"), None)
    with pytest.raises(ApiError):
        check_escalation(authorizer, ALICE, "roles", "b", role("more", rule("*", "*", "*"), namespace="b"), None)


def test_an_aggregation_needs_everything() -> None:
    summed = role("sum") | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    with pytest.raises(ApiError, match=r'NonResourceURLs:\["\*"\]'):
        check_escalation(holding(rule("get", "-", "pods")), ALICE, "clusterroles", "", summed, None)


def test_updates_that_grant_nothing_new_pass() -> None:
    authorizer = holding(rule("get", "-", "pods"))
    old = role("big", rule("*", "*", "*"), namespace="a")
    old["metadata"]["finalizers"] = ["x"]
    labelled = old | {"metadata": old["metadata"] | {"labels": {"a": "b"}}}
    check_escalation(authorizer, ALICE, "roles", "a", labelled, old)
    bound = binding("b", "ClusterRole/secret", ("User", "bob"), namespace="a")
    bound["metadata"]["finalizers"] = ["x"]
    check_escalation(authorizer, ALICE, "rolebindings", "a", binding("b", "ClusterRole/secret", ("User", "bob"), namespace="a"), bound)


def test_a_binding_beyond_ones_own() -> None:
    bound = binding("b", "ClusterRole/target", ("User", "bob"), namespace="a")
    with pytest.raises(ApiError) as caught:
        check_escalation(holding(), ALICE, "rolebindings", "a", bound, None)
    assert caught.value.message == f'rolebindings.{GROUP} "b" is forbidden: {WHO}' + '{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'
    check_escalation(holding(rule("get", "-", "pods")), ALICE, "rolebindings", "a", bound, None)
    check_escalation(holding(rule("bind", GROUP, "clusterroles", "target")), ALICE, "rolebindings", "a", bound, None)
    with pytest.raises(ApiError):
        check_escalation(holding(rule("bind", GROUP, "clusterroles", "other")), ALICE, "rolebindings", "a", bound, None)


def test_binding_a_role_that_does_not_exist_is_404_for_all_but_administrators() -> None:
    bound = binding("b", "Role/none", ("User", "bob"), namespace="a")
    with pytest.raises(ApiError) as caught:
        check_escalation(holding(), ALICE, "rolebindings", "a", bound, None)
    assert (caught.value.code, caught.value.message) == (404, f'rolebindings.{GROUP} "none" not found')
    check_escalation(holding(), User("root", groups=("system:masters",)), "rolebindings", "a", bound, None)


def test_a_cluster_role_binding_takes_cluster_wide_rights() -> None:
    bound = binding("b", "ClusterRole/target", ("User", "bob"))
    with pytest.raises(ApiError, match="clusterrolebindings"):
        check_escalation(holding(rule("get", "-", "pods")), ALICE, "clusterrolebindings", "", bound, None)
    assert CLUSTER_ROLE_BINDINGS.plural == "clusterrolebindings"
