"""Reviews and token requests: answers and refusals word for word."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tiffin.apiserver.authn.authenticator import Authenticator
from tiffin.apiserver.authn.serviceaccount import DEFAULT_ISSUER, NODES, PODS, SERVICE_ACCOUNTS, ServiceAccountTokens, TokenIssuer
from tiffin.apiserver.authn.tokens import SECRETS
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.authz.bootstrap import bootstrap_objects, reconcile
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.reviews import Reviews, TokenRequests, self_subject_review
from tiffin.apiserver.user import User
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object
from tiffin.net.jws import PrivateKey, unverified_claims
from tiffin.net.pki import ensure_pki

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALICE = User("alice", groups=("system:authenticated",))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


class World:
    def __init__(self, directory: Path) -> None:
        self.reader = MemoryReader()
        for resource, obj, _ in reconcile(self.reader, bootstrap_objects()):
            self.reader.put(resource, obj)
        key = PrivateKey(ensure_pki(directory, ["h"]).service_account_key.read_bytes())
        tokens = ServiceAccountTokens(self.reader, [key.public], NOW.timestamp)
        self.reviews = Reviews(Authenticator([tokens], [DEFAULT_ISSUER], NOW.timestamp), Authorizer(self.reader))
        self.requests = TokenRequests(self.reader, TokenIssuer(key), (DEFAULT_ISSUER,))
        self.put(SERVICE_ACCOUNTS, "sa", uid="u1")

    def put(self, resource: Any, name: str, namespace: str = "a", uid: str = "u", **fields: Any) -> Object:
        metadata = {"name": name, "uid": uid} | ({"namespace": namespace} if namespace else {})
        return self.reader.put(resource, {"metadata": metadata, **fields})

    def token(
        self, user: User = ALICE, name: str = "sa", metadata: Object | None = None, kind: str = "TokenRequest", **spec: Any
    ) -> Object:
        body = {"kind": kind, "apiVersion": "authentication.k8s.io/v1", "metadata": metadata or {}, "spec": spec}
        return self.requests.create(user, "a", name, body, NOW)

    def refusal(self, user: User = ALICE, name: str = "sa", **arguments: Any) -> ApiError:
        with pytest.raises(ApiError) as caught:
            self.token(user, name, **arguments)
        return caught.value


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pki")


@pytest.fixture
def world(directory: Path) -> World:
    return World(directory)


def pod(name: str) -> Object:
    return {"kind": "Pod", "apiVersion": "v1", "name": name}


def test_a_token_is_made_and_reviewed(world: World) -> None:
    answer = world.token()
    assert answer["metadata"].pop("uid")
    token = answer["status"].pop("token")
    assert answer == {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": "sa", "namespace": "a", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"audiences": [DEFAULT_ISSUER], "expirationSeconds": 3600, "boundObjectRef": None},
        "status": {"expirationTimestamp": "2026-01-02T04:04:05Z"},
    }
    review = world.reviews.token_review({"spec": {"token": token}})
    assert review["status"]["authenticated"] and review["status"]["audiences"] == [DEFAULT_ISSUER]
    assert review["status"]["user"]["username"] == "system:serviceaccount:a:sa"
    refused = world.reviews.token_review({"spec": {"token": token, "audiences": ["other"]}})
    assert refused["status"] == {
        "user": {},
        "error": f'[invalid bearer token, token audiences ["{DEFAULT_ISSUER}"] is invalid for the target audiences ["other"]]',
    }
    assert world.reviews.token_review({"spec": {"token": "rubbish"}})["status"] == {"user": {}, "error": "invalid bearer token"}


def test_a_bound_token_names_its_pod_and_node(world: World) -> None:
    world.put(NODES, "n1", "", "un")
    world.put(PODS, "p", uid="up", spec={"serviceAccountName": "sa", "nodeName": "n1"})
    claims = unverified_claims(world.token(boundObjectRef=pod("p"), audiences=["x"], expirationSeconds=700)["status"]["token"])
    assert claims["kubernetes.io"] == {
        "namespace": "a",
        "serviceaccount": {"name": "sa", "uid": "u1"},
        "pod": {"name": "p", "uid": "up"},
        "node": {"name": "n1", "uid": "un"},
    }
    assert claims["aud"] == ["x"] and claims["exp"] - claims["iat"] == 700


def test_mounted_tokens_live_on_for_old_clients(world: World) -> None:
    world.put(PODS, "p", uid="up", spec={"serviceAccountName": "sa"})
    answer = world.token(boundObjectRef=pod("p"), expirationSeconds=3607)
    claims = unverified_claims(answer["status"]["token"])
    assert claims["exp"] - claims["iat"] == 365 * 86400 and claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    assert answer["status"]["expirationTimestamp"] == "2026-01-02T04:04:12Z"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            {"expirationSeconds": 599},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: '
            "may not specify a duration less than 10 minutes",
        ),
        (
            {"expirationSeconds": 2**32 + 1},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: '
            "may not specify a duration larger than 2^32 seconds",
        ),
        ({"name": "none"}, 404, 'serviceaccounts "none" not found'),
        (
            {"metadata": {"name": "other"}},
            422,
            'TokenRequest.authentication.k8s.io "sa" is invalid: metadata.name: Invalid value: "other": '
            "must match the service account name if specified",
        ),
        ({"boundObjectRef": pod("none")}, 404, 'pods "none" not found'),
        ({"boundObjectRef": pod("x") | {"kind": "Secret"}}, 404, 'secrets "x" not found'),
        ({"boundObjectRef": pod("x") | {"kind": "ConfigMap"}}, 400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        (
            {"boundObjectRef": pod("elsewhere")},
            400,
            'cannot bind token for serviceaccount "sa" to pod running with different serviceaccount name.',
        ),
        (
            {"boundObjectRef": pod("s") | {"kind": "Secret", "uid": "3"}},
            409,
            'Operation cannot be fulfilled on Secret "s": the UID in the bound object reference (3) does not match the UID in record. '
            "The object might have been deleted and then recreated",
        ),
        (
            {"kind": "TokenReview"},
            400,
            'TokenReview in version "v1" cannot be handled as a TokenRequest: converting (v1.TokenReview) to '
            "(authentication.TokenRequest): unknown conversion",
        ),
    ],
)
def test_refused_token_requests(world: World, arguments: dict[str, Any], code: int, message: str) -> None:
    world.put(PODS, "elsewhere", spec={"serviceAccountName": "default"})
    world.put(SECRETS, "s")
    error = world.refusal(**arguments)
    assert (error.code, error.message) == (code, message)


def test_a_token_is_bound_within_its_namespace_only(world: World) -> None:
    """Attack 27: a pod of another namespace lends nothing."""
    world.put(PODS, "p", namespace="b", spec={"serviceAccountName": "sa"})
    assert world.refusal(boundObjectRef=pod("p")).code == 404


def test_tokens_for_nodes(world: World) -> None:
    """Attack 17: only for a pod of its own, by UID, and for audiences that pod uses."""
    volume = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}
    world.put(PODS, "p", uid="up", spec={"serviceAccountName": "sa", "nodeName": "n1", "volumes": [volume]})
    world.put(PODS, "q", uid="uq", spec={"serviceAccountName": "sa", "nodeName": "n2"})
    bound = pod("p") | {"uid": "up"}
    assert world.token(NODE, boundObjectRef=bound)
    assert world.token(NODE, boundObjectRef=bound, audiences=["vault"])
    table = [
        ({}, "node requested token not bound to a pod"),
        ({"boundObjectRef": pod("p")}, "node requested token with a pod binding without a uid"),
        ({"boundObjectRef": pod("q") | {"uid": "uq"}}, "node requested token bound to a pod scheduled on a different node"),
        ({"boundObjectRef": bound, "audiences": ["other"]}, 'audience "other" not found in pod spec volume'),
        ({"boundObjectRef": bound, "audiences": ["vault", "other"]}, "node may only request 0 or 1 audiences"),
    ]
    for spec, message in table:
        error = world.refusal(NODE, **spec)
        assert (error.code, error.message) == (403, f'serviceaccounts "sa" is forbidden: {message}')


def access(world: World, kind: str = "SubjectAccessReview", namespace: str = "", metadata: Object | None = None, **spec: Any) -> Object:
    review = {"metadata": metadata or {}, "spec": spec}
    answer: Object = world.reviews.access_review(kind, review, ALICE, namespace)
    return answer


PODS_OF_A = {"namespace": "a", "verb": "get", "resource": "pods"}


def test_access_reviews(world: World) -> None:
    assert access(world, user="x", resourceAttributes=PODS_OF_A) == {
        "kind": "SubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {"user": "x", "resourceAttributes": PODS_OF_A},
        "status": {"allowed": False},
    }
    assert access(world, user="x", groups=["system:masters"], resourceAttributes=PODS_OF_A)["status"] == {"allowed": True}
    path = {"path": "/apis/apps", "verb": "get"}
    for answer in (
        access(world, "SelfSubjectAccessReview", nonResourceAttributes=path),
        access(world, user="x", groups=["system:authenticated"], nonResourceAttributes=path),
    ):
        assert answer["status"] == {
            "allowed": True,
            "reason": 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" '
            'to Group "system:authenticated"',
        }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"user": "x"},
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            {"user": "x", "resourceAttributes": PODS_OF_A, "nonResourceAttributes": {"path": "/", "verb": "get"}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: '
            "cannot be specified in combination with resourceAttributes",
        ),
        ({"resourceAttributes": PODS_OF_A}, 'spec.user: Invalid value: "": at least one of user or group must be specified'),
        (
            {
                "kind": "LocalSubjectAccessReview",
                "user": "x",
                "namespace": "b",
                "metadata": {"namespace": "b"},
                "resourceAttributes": PODS_OF_A,
            },
            'spec.resourceAttributes.namespace: Invalid value: "a": must match metadata.namespace',
        ),
        (
            {"kind": "LocalSubjectAccessReview", "user": "x", "nonResourceAttributes": {"path": "/", "verb": "get"}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: disallowed on this kind of request',
        ),
    ],
)
def test_invalid_access_reviews(world: World, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        access(world, **arguments)
    assert (caught.value.code, caught.value.message) == (422, f'.authorization.k8s.io "" is invalid: {message}')


def test_rules_reviews(world: World) -> None:
    answer = world.reviews.rules_review({"spec": {"namespace": "a"}}, ALICE)
    assert answer["spec"] == {} and answer["status"]["incomplete"] is False
    assert {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]} in answer["status"][
        "resourceRules"
    ]
    with pytest.raises(ApiError, match="no namespace on request"):
        world.reviews.rules_review({"spec": {}}, ALICE)
    everything = world.reviews.rules_review({"spec": {"namespace": "a"}}, User("root", groups=("system:masters",)))
    assert everything["status"]["resourceRules"][0] == {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert world.reviews.rules_review({"spec": {"namespace": "a"}}, NODE)["status"]["incomplete"]


def test_who_am_i() -> None:
    assert self_subject_review(ALICE, NOW)["status"] == {"userInfo": {"username": "alice", "groups": ["system:authenticated"]}}
