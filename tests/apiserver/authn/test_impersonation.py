"""Impersonation: headers, rights, and whom a refusal speaks of (attack 26)."""

from __future__ import annotations

import pytest

from tiffin.apiserver.authn.impersonation import Impersonation, wanted_user
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.user import User
from tiffin.machinery.errors import ApiError

ALICE = User("alice", groups=("system:authenticated",))
REQUEST = Attributes(ALICE, "create", "", "v1", "pods", "", "a")


def rights(*allowed: str) -> tuple[Impersonation, list[str]]:
    asked: list[str] = []

    def authorize(a: Attributes) -> Decision:
        text = f"{a.verb} {a.group}/{a.combined_resource} {a.namespace}/{a.name}"
        asked.append(text)
        return Decision(text in allowed or a.verb in allowed)

    return Impersonation(authorize), asked


def headers(**given: str) -> dict[str, str]:
    return {f"impersonate-{name.replace('_', '-')}": value for name, value in given.items()}


def test_headers_are_read_and_taken_out() -> None:
    given = headers(user="bob", uid="7", group="a, b", extra_scopes="view", **{"extra_acme.com%2fkey": "x, y"}) | {"accept": "*/*"}
    wanted = wanted_user(given)
    assert wanted == User("bob", "7", ("a", "b"), {"scopes": ("view",), "acme.com/key": ("x", "y")})
    assert given == {"accept": "*/*"}
    assert wanted_user({"accept": "*/*"}) is None
    assert wanted_user(headers(user="")) is None


@pytest.mark.parametrize("given", [headers(group="devs"), headers(uid="u-1"), headers(extra_scopes="view"), headers(user="", group="x")])
def test_other_headers_need_a_user(given: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        wanted_user(given)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


def test_the_classic_right() -> None:
    impersonation, asked = rights("impersonate")
    user = impersonation.impersonate(User("bob", "7", ("g",), {"k": ("v",)}), REQUEST)
    assert user == User("bob", "7", ("g", "system:authenticated"), {"k": ("v",)})
    assert [a for a in asked if a.startswith("impersonate ")] == [
        "impersonate /users /bob",
        "impersonate authentication.k8s.io/uids /7",
        "impersonate /groups /g",
        "impersonate authentication.k8s.io/userextras/k /v",
    ]


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (User("system:serviceaccount:a:robot"), ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")),
        (User("system:anonymous"), ("system:unauthenticated",)),
        (User("bob", groups=("system:unauthenticated",)), ("system:unauthenticated",)),
        (User("bob", groups=("system:authenticated", "x")), ("system:authenticated", "x")),
    ],
)
def test_groups_that_come_by_themselves(wanted: User, groups: tuple[str, ...]) -> None:
    impersonation, _ = rights("impersonate")
    assert impersonation.impersonate(wanted, REQUEST).groups == groups


def test_a_refusal_without_history_speaks_of_the_first_mode() -> None:
    impersonation, _ = rights()
    with pytest.raises(ApiError) as caught:
        impersonation.impersonate(User("bob"), REQUEST)
    assert caught.value.message == (
        'pods is forbidden: User "alice" cannot impersonate-on:user-info:create resource "pods" in API group "" in the namespace "a"'
    )


def test_a_refusal_speaks_of_the_mode_that_worked_last() -> None:
    impersonation, _ = rights("impersonate /users /bob")
    impersonation.impersonate(User("bob"), REQUEST)
    with pytest.raises(ApiError) as caught:
        impersonation.impersonate(User("carol"), REQUEST)
    assert caught.value.message == (
        'users "carol" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope'
    )


def test_constrained_impersonation_needs_both_rights() -> None:
    identity, action = "impersonate:user-info authentication.k8s.io/users /bob", "impersonate-on:user-info:create /pods a/"
    impersonation, _ = rights(identity, action)
    assert impersonation.impersonate(User("bob"), REQUEST).name == "bob"
    for some in (identity, action):
        with pytest.raises(ApiError):
            rights(some)[0].impersonate(User("bob"), REQUEST)


def test_constrained_impersonation_never_reaches_masters() -> None:
    impersonation, _ = rights("impersonate:user-info", "impersonate-on:user-info:create")
    with pytest.raises(ApiError, match="impersonating the system:masters group is not allowed"):
        impersonation.impersonate(User("bob", groups=("system:masters",)), REQUEST)
    with pytest.raises(ApiError):
        impersonation.impersonate(User("system:serviceaccount:kube-system:x"), REQUEST)


def test_a_service_account_may_act_as_the_node_it_runs_on() -> None:
    agent = User("system:serviceaccount:a:agent", extra={"authentication.kubernetes.io/node-name": ("n1",)})
    request = Attributes(agent, "list", "", "v1", "pods")
    granted = ("impersonate:associated-node authentication.k8s.io/nodes /*", "impersonate-on:associated-node:list /pods /")
    assert rights(*granted)[0].impersonate(User("system:node:n1"), request).groups == ("system:nodes", "system:authenticated")
    with pytest.raises(ApiError):
        rights(*granted)[0].impersonate(User("system:node:n2"), request)
