"""Attack 12 (CVE-2015-5305): no part of a path that is no name ever reaches a store key."""

from __future__ import annotations

import pytest

from tiffin.apiserver.context import Query, request_info
from tiffin.machinery.errors import ApiError

HOSTILE = ["..", ".", "%2e%2e", "%2E%2E", "a%2fb", "..%2f..%2fsecrets", "a%00b", "%00", "a%0ab", "a%7fb", "a%252fb", "%252e%252e%252f"]


@pytest.mark.parametrize("part", HOSTILE)
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/{}/pods",
        "/api/v1/namespaces/{}/pods/x",
        "/api/v1/namespaces/a/{}",
        "/api/v1/namespaces/a/{}/x",
        "/api/v1/namespaces/a/pods/{}",
        "/api/v1/namespaces/a/pods/{}/log",
        "/api/v1/namespaces/a/pods/x/{}",
        "/api/v1/nodes/{}",
        "/api/v1/namespaces/{}",
        "/apis/apps/v1/namespaces/{}/deployments/x/scale",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/{}",
    ],
)
def test_hostile_parts_are_refused(path: str, part: str) -> None:
    with pytest.raises(ApiError) as caught:
        request_info("GET", path.format(part), Query.parse(""))
    assert caught.value.code in (400, 404)


def test_empty_parts_do_not_shift_others() -> None:
    info = request_info("GET", "/api/v1/namespaces/a/pods/x", Query.parse(""))
    assert (info.namespace, info.resource.plural, info.name) == ("a", "pods", "x")
    doubled = request_info("GET", "//api/v1//namespaces/a/pods/x", Query.parse(""))
    assert (doubled.namespace, doubled.resource.plural, doubled.name) in {("a", "pods", "x"), ("", "", "")}


def test_names_of_roles_may_have_colons() -> None:
    info = request_info("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", Query.parse(""))
    assert info.name == "system:node"
