"""Who a request is from: every kind of credential, its end, and what bad ones get."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import pytest

from tiffin.apiserver.authn.authenticator import Authenticator
from tiffin.apiserver.authn.serviceaccount import (
    DEFAULT_ISSUER,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Binding,
    ServiceAccountTokens,
    TokenIssuer,
)
from tiffin.apiserver.authn.tokens import SECRETS, BootstrapTokens, Refused, StaticTokens, ensure_admin_token
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.user import ANONYMOUS_USER
from tiffin.machinery.errors import ApiError
from tiffin.net.http import Request
from tiffin.net.jws import PrivateKey
from tiffin.net.pki import ensure_pki

AUDIENCE = DEFAULT_ISSUER


class World:
    """An authenticator with all it knows, and a clock that is set by hand."""

    def __init__(self, tmp_path: Path) -> None:
        self.pki = ensure_pki(tmp_path, ["127.0.0.1"])
        self.time = 1_000_000.0
        self.reader = MemoryReader()
        key = PrivateKey(self.pki.service_account_key.read_bytes())
        self.issuer = TokenIssuer(key)
        kinds = (
            StaticTokens(['secret,jane,7,"devs,ops"', "# a comment", "plain,joe,8"]),
            BootstrapTokens(self.reader, lambda: self.time),
            ServiceAccountTokens(self.reader, [key.public], lambda: self.time),
        )
        self.authenticator = Authenticator(kinds, [AUDIENCE], lambda: self.time)
        self.account = self.reader.put(SERVICE_ACCOUNTS, {"metadata": {"name": "robot", "namespace": "a", "uid": "u1"}})

    def ask(self, authorization: str | None = None, **headers: str) -> Any:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if authorization is not None:
            given["authorization"] = authorization
        return self.authenticator.authenticate(Request("GET", "/", given))

    def token(self, binding: Binding | None = None, audiences: tuple[str, ...] = (AUDIENCE,), seconds: int = 3600) -> str:
        now = int(self.time)
        return self.issuer.bound(self.account, audiences, binding or Binding(), now, now + seconds, jti="j")

    def refuses(self, token: str) -> None:
        with pytest.raises(ApiError) as caught:
            self.ask(f"Bearer {token}")
        assert (caught.value.code, caught.value.message) == (401, "Unauthorized")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Bearer", "Basic YWRtaW46YWRtaW4=", "nonsense"])
def test_no_credentials_are_anonymous(world: World, header: str | None) -> None:
    assert world.ask(header) == ANONYMOUS_USER


def test_static_tokens(world: World) -> None:
    assert world.ask("bearer secret").info() == {"username": "jane", "uid": "7", "groups": ["devs", "ops", "system:authenticated"]}
    assert world.ask("Bearer plain").groups == ("system:authenticated",)
    world.refuses("secre")
    world.refuses("nonsense")


def test_the_administrators_token_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "x" / "tokens.csv"
    token = ensure_admin_token(path)
    assert ensure_admin_token(path) == token and path.stat().st_mode & 0o777 == 0o600
    session = StaticTokens.load(path).session(token, [])
    assert session and session.user.groups == ("system:masters", "system:authenticated")


def test_bound_tokens(world: World) -> None:
    token = world.token()
    for _ in range(2):
        assert world.ask(f"Bearer {token}").info() == {
            "username": "system:serviceaccount:a:robot",
            "uid": "u1",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=j"]},
        }
    world.time += 3600
    world.refuses(token)


def test_a_token_ends_with_its_account(world: World) -> None:
    token = world.token()
    assert world.ask(f"Bearer {token}")
    world.reader.put(SERVICE_ACCOUNTS, {"metadata": {"name": "robot", "namespace": "a", "uid": "u2"}})
    world.refuses(token)
    world.reader.put(SERVICE_ACCOUNTS, world.account)
    assert world.ask(f"Bearer {token}")
    world.reader.remove(SERVICE_ACCOUNTS, "a", "robot")
    world.refuses(token)


@pytest.mark.parametrize(("kind", "resource", "namespace"), [("Pod", PODS, "a"), ("Secret", SECRETS, "a"), ("Node", NODES, "")])
def test_a_token_ends_with_what_it_is_bound_to(world: World, kind: str, resource: Any, namespace: str) -> None:
    metadata = {"name": "x", "uid": "ux"} | ({"namespace": namespace} if namespace else {})
    world.reader.put(resource, {"metadata": metadata})
    token = world.token(Binding(kind, "x", "ux"))
    user = world.ask(f"Bearer {token}")
    if kind != "Secret":
        assert user.extra[f"authentication.kubernetes.io/{kind.lower()}-name"] == ("x",)
    world.reader.put(resource, {"metadata": metadata | {"deletionTimestamp": "1970-01-12T13:46:00Z"}})
    assert world.ask(f"Bearer {token}"), "a pod that is being deleted still speaks for a minute"
    world.time += 100
    world.refuses(token)
    world.reader.remove(resource, namespace, "x")
    world.refuses(token)


def test_review_says_why(world: World) -> None:
    token = world.token()

    def complaint(token: str, *audiences: str) -> str:
        with pytest.raises(Refused) as caught:
            world.authenticator.review(token, audiences)
        return str(caught.value)

    assert world.authenticator.review(token, [AUDIENCE, "x"]).audiences == (AUDIENCE,)
    assert world.authenticator.review("secret", []).audiences == (AUDIENCE,)
    assert complaint("rubbish") == "invalid bearer token"
    assert complaint("secret", "other") == "invalid bearer token"
    assert complaint(token, "other") == (
        f'[invalid bearer token, token audiences ["{AUDIENCE}"] is invalid for the target audiences ["other"]]'
    )
    assert complaint(world.token(Binding("Pod", "x", "y"))) == "[invalid bearer token, service account token has been invalidated]"
    world.reader.remove(SERVICE_ACCOUNTS, "a", "robot")
    assert complaint(token) == '[invalid bearer token, serviceaccounts "robot" not found]'


def test_tokens_for_others_are_not_for_us(world: World) -> None:
    world.refuses(world.token(audiences=("vault",)))
    stranger = TokenIssuer(PrivateKey(ensure_pki(world.pki.directory / "other", ["h"]).service_account_key.read_bytes()))
    world.refuses(stranger.bound(world.account, [AUDIENCE], Binding(), int(world.time), int(world.time) + 60))
    foreign = TokenIssuer(PrivateKey(world.pki.service_account_key.read_bytes()), "https://elsewhere")
    world.refuses(foreign.bound(world.account, [AUDIENCE], Binding(), int(world.time), int(world.time) + 60))


def test_a_token_reaches_no_other_namespace(world: World) -> None:
    """Attack 27: private claims and subject must tell the same account."""
    forged = world.issuer._key.sign(
        {
            "iss": DEFAULT_ISSUER,
            "aud": [AUDIENCE],
            "exp": int(world.time) + 60,
            "sub": "system:serviceaccount:kube-system:robot",
            "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "robot", "uid": "u1"}},
        }
    )
    world.refuses(forged)


def test_legacy_tokens_end_with_their_secret(world: World) -> None:
    token = world.issuer.legacy(world.account, "t")
    world.refuses(token)
    data = {"token": base64.b64encode(token.encode()).decode()}
    world.reader.put(SECRETS, {"metadata": {"name": "t", "namespace": "a", "uid": "s"}, "data": data})
    assert world.ask(f"Bearer {token}").name == "system:serviceaccount:a:robot"
    world.reader.remove(SECRETS, "a", "t")
    world.refuses(token)


def bootstrap_secret(**changes: str) -> dict[str, Any]:
    data = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}
    data |= {name.replace("_", "-"): value for name, value in changes.items()}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return {
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": encoded,
    }


def test_bootstrap_tokens(world: World) -> None:
    token = "abcdef.0123456789abcdef"
    world.refuses(token)
    world.reader.put(SECRETS, bootstrap_secret(auth_extra_groups="system:bootstrappers:a", expiration="1970-01-12T14:00:00Z"))
    user = world.ask(f"Bearer {token}")
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:a", "system:authenticated")
    world.refuses("abcdef.0123456789abcdeX")
    world.refuses("abcdef.fedcba9876543210")
    world.time += 1000
    world.refuses(token)


@pytest.mark.parametrize(
    "changes",
    [{"usage_bootstrap_authentication": "false"}, {"expiration": "soon"}, {"auth_extra_groups": "system:masters"}, {"token_id": "xxxxxx"}],
)
def test_bootstrap_tokens_that_are_none(world: World, changes: dict[str, str]) -> None:
    world.reader.put(SECRETS, bootstrap_secret(**changes))
    world.refuses("abcdef.0123456789abcdef")


def der(path: Path) -> bytes:
    import ssl

    return ssl.PEM_cert_to_DER_cert(path.read_text())


def test_client_certificates(world: World) -> None:
    import time

    world.time = time.time()
    certificate = der(world.pki.node_client("n1").certificate)
    for _ in range(2):
        user = world.authenticator.authenticate(Request("GET", "/", {}, peer_certificate=certificate))
        assert user and (user.name, user.groups) == ("system:node:n1", ("system:nodes", "system:authenticated"))
    serving = der(world.pki.node_serving("n1", ["10.0.0.1"]).certificate)
    with pytest.raises(ApiError):
        world.authenticator.authenticate(Request("GET", "/", {}, peer_certificate=serving))
    world.time += 400 * 86400
    with pytest.raises(ApiError):
        world.authenticator.authenticate(Request("GET", "/", {}, peer_certificate=certificate))


def test_a_token_among_the_websocket_protocols_is_used_and_removed(world: World) -> None:
    hidden = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"secret").decode().rstrip("=")
    request = Request("GET", "/", {"sec-websocket-protocol": f"{hidden}, v5.channel.k8s.io"})
    user = world.authenticator.authenticate(request)
    assert user and user.name == "jane" and request.headers["sec-websocket-protocol"] == "v5.channel.k8s.io"
    with pytest.raises(ApiError):
        world.ask(sec_websocket_protocol=hidden)


def test_no_token_is_ever_logged_or_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Attack 18: not at any level, not in any error."""
    caplog.set_level(logging.DEBUG)
    token = world.token(audiences=("vault",))
    for given in (token, "abcdef.0123456789abcdef", "hunter2hunter2"):
        with pytest.raises(Refused) as refused:
            world.authenticator.review(given, [])
        with pytest.raises(ApiError) as caught:
            world.ask(f"Bearer {given}")
        told = f"{refused.value} {caught.value} {caught.value.__cause__} {caplog.text}"
        assert given not in told and given.rpartition(".")[2] not in told
