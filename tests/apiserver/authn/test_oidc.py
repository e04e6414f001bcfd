"""Tokens of another issuer: a real one behind TLS, the mapping of claims, and everything that may be wrong with a token."""
from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.apiserver.inprocess import TOKENS, InProcess
from tiffin.apiserver.authn.oidc.configuration import load, read
from tiffin.apiserver.authn.oidc.mapping import ConfigurationError, Mapper
from tiffin.apiserver.authn.tokens import Authentication, Refused
from tiffin.apiserver.server import Assembly, Options
from tiffin.machinery.object import Object
from tiffin.net import jwa
from tiffin.net.http import Request, Response
from tiffin.net.pki import Pki, ensure_authority
from tiffin.net.server import Server
from tiffin.store.log import MemoryLog
from tiffin.store.store import Store

KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048), "ES256": ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate()}
KEYS["PS256"] = KEYS["RS256"]
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Idp:
    """An issuer that publishes `published` and counts how often it is asked."""

    def __init__(self) -> None:
        self.published = ["RS256", "ES256"]
        self.asked = 0
        self.issuer = ""
        self.jwks_uri = ""
        self.server = Server(self.handle)
        self.url = ""
        self.ca = ""

    async def handle(self, request: Request) -> Response:
        if request.raw_path.endswith("/.well-known/openid-configuration"):
            self.asked += 1
            return Response(200, {}, orjson.dumps({"issuer": self.issuer or self.url, "jwks_uri": self.jwks_uri or f"{self.url}/keys"}))
        keys = [{"kid": name, "use": "sig", **jwa.jwk_of(KEYS[name].public_key())} for name in self.published if name != "EdDSA"]
        if "EdDSA" in self.published:
            keys.append({"kid": "EdDSA", "kty": "OKP", "crv": "Ed25519", "x": jwa.encode(KEYS["EdDSA"].public_key().public_bytes_raw())})
        return Response(200, {}, orjson.dumps({"keys": [*keys, {"kty": "oct", "k": "AAAA", "kid": "odd"}]}))

    def token(self, algorithm: str = "RS256", kid: str | None = None, header: Object | None = None, **claims: Any) -> str:
        base = {"iss": self.url, "aud": "tiffin", "sub": "jane", "exp": int(time.time()) + 600, "groups": ["dev", "ops"]}
        head = {"alg": algorithm, "kid": algorithm if kid is None else kid, **(header or {})}
        signed = f"{jwa.encode(orjson.dumps(head))}.{jwa.encode(orjson.dumps({k: v for k, v in (base | claims).items() if v is not None}))}"
        return f"{signed}.{jwa.encode(jwa.sign(algorithm, KEYS[algorithm], signed.encode()))}"

    def configuration(self, **more: Any) -> Object:
        mappings = {"username": {"claim": "sub", "prefix": "idp:"}, "groups": {"claim": "groups", "prefix": "idp:"}}
        entry = {"issuer": {"url": self.url, "audiences": ["tiffin"], "certificateAuthority": self.ca}, "claimMappings": mappings, **more}
        return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [entry]}


@pytest.fixture
async def idp(tmp_path: Path) -> AsyncIterator[Idp]:
    own = ensure_authority(tmp_path / "idp", "idp-ca")
    pair = own.serving("idp", "idp", ["127.0.0.1"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    made = Idp()
    made.url, made.ca = f"https://127.0.0.1:{await made.server.start('127.0.0.1', 0, tls)}", own.ca_pem.decode()
    try:
        yield made
    finally:
        await made.server.stop(grace=0)


class Site(InProcess):
    async def who(self, token: str) -> Any:
        answer = await self.post(WHOAMI, {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}, token=token)
        return answer.object["status"]["userInfo"] if answer.status == 201 else answer.status


async def site(pki: Pki, authentication: Authentication) -> Site:
    assembly = Assembly(Store(MemoryLog()), Options(pki, TOKENS, "127.0.0.1:6443", "10.96.0.0/16", authentication=authentication))
    await assembly.start()
    return Site(assembly)


async def test_a_token_of_the_issuer_is_its_user(pki: Pki, idp: Idp) -> None:
    api = await site(pki, read(idp.configuration(), time.time, "https://own"))
    try:
        answers = await asyncio.gather(*(api.who(idp.token()) for _ in range(3)))
        assert answers[0] == {"username": "idp:jane", "groups": ["idp:dev", "idp:ops", "system:authenticated"]}
        assert answers[1:] == answers[:1] * 2 and idp.asked == 1
        assert (await api.who(idp.token("ES256")))["username"] == "idp:jane"
        assert (await api.who(idp.token("PS256", kid="RS256")))["username"] == "idp:jane"
        review = await api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": idp.token()}})
        assert review.object["status"]["user"]["username"] == "idp:jane"
        assert (await api.who("admin-token"))["username"] == "admin"
    finally:
        await api.stop()


async def test_a_review_waits_for_the_keys_too(pki: Pki, idp: Idp) -> None:
    api = await site(pki, read(idp.configuration(), time.time, "https://own"))
    try:
        review = await api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": idp.token()}})
        assert review.object["status"]["user"]["username"] == "idp:jane"
    finally:
        await api.stop()


async def test_what_is_wrong_with_a_token_is_a_401(pki: Pki, idp: Idp) -> None:
    api = await site(pki, read(idp.configuration(), time.time, "https://own"))
    good = idp.token()
    try:
        assert (await api.who(good))["username"] == "idp:jane"
        now = int(time.time())
        wrong = [
            idp.token(iss="https://evil.example"), idp.token(aud="others"), idp.token(aud=[]), idp.token(exp=now - 1), idp.token(exp=None),
            idp.token(exp="soon"), idp.token(nbf=now + 3600), idp.token(sub=None), idp.token(sub=""), idp.token(sub=["a"]), idp.token(groups={"a": 1}),
            idp.token("ES256", kid="RS256"), idp.token("EdDSA"), idp.token(header={"alg": "none"}), idp.token(header={"alg": "HS256"}),
            idp.token(header={"crit": ["x"]}), idp.token(header={"kid": ["a"]}), idp.token(header={"kid": {"a": 1}}), idp.token(header={"alg": ["RS256"]}),
            idp.token(header={"kid": "unknown"}), idp.token(iss=["a"]), idp.token(aud={"tiffin": 1}), idp.token(aud=[["tiffin"]]), idp.token(exp=True),
            idp.token(nbf="soon"), idp.token(nbf=[1]), idp.token(header={"jwk": {"kty": "oct", "k": "YQ"}, "alg": "HS256"}),
            f"{good[:-8]}AAAAAAAA", good.rpartition(".")[0] + ".", "a.b.c", "...",
        ]  # fmt: skip
        for token in wrong:
            assert await api.who(token) == 401
        head, payload, signature = good.split(".")
        forged = jwa.encode(orjson.dumps(orjson.loads(jwa.decode(payload)) | {"sub": "admin"}))
        assert await api.who(f"{head}.{forged}.{signature}") == 401
    finally:
        await api.stop()


async def test_new_keys_are_fetched_when_they_are_first_used(pki: Pki, idp: Idp) -> None:
    clock = [time.time()]
    api = await site(pki, read(idp.configuration(), lambda: clock[0], "https://own"))
    try:
        assert await api.who(idp.token("EdDSA")) == 401 and idp.asked == 1
        idp.published.append("EdDSA")
        assert await api.who(idp.token("EdDSA", jti="2")) == 401 and idp.asked == 1  # not so soon again
        clock[0] += 11
        assert (await api.who(idp.token("EdDSA", jti="3")))["username"] == "idp:jane" and idp.asked == 2
    finally:
        await api.stop()


@pytest.mark.parametrize("fault", ["issuer", "jwks_uri", "ca", "gone"])
async def test_an_issuer_that_cannot_be_trusted_lets_nobody_in(pki: Pki, idp: Idp, tmp_path: Path, fault: str) -> None:
    configuration = idp.configuration()
    if fault == "issuer":
        idp.issuer = "https://another.example"
    elif fault == "jwks_uri":
        idp.jwks_uri = f"http://127.0.0.1:{idp.url.rpartition(':')[2]}/keys"
    elif fault == "ca":
        configuration["jwt"][0]["issuer"]["certificateAuthority"] = ensure_authority(tmp_path / "x", "x").ca_pem.decode()
    else:
        await idp.server.stop(grace=0)
    api = await site(pki, read(configuration, time.time, "https://own"))
    try:
        assert await api.who(idp.token()) == 401
        assert (await api.who("admin-token"))["username"] == "admin"
    finally:
        await api.stop()


@pytest.mark.parametrize("instead", [
    Response(302, {"Location": "/internal"}), Response(200, {}, b"the content of an internal service"), Response(500, {}, b"the content of an internal service"),
    Response(200, {}, b'{"issuer": "' + b"x" * (2 << 20) + b'"}'), Response(200, {}, b"[" * 100_000), Response(200, {}, b'{"issuer": 1, "keys": "the content of an internal service"}'),
])
async def test_attack_4_an_issuer_leads_nowhere_and_is_not_quoted(pki: Pki, idp: Idp, instead: Response, caplog: pytest.LogCaptureFixture) -> None:
    """CVE-2020-8555: no redirect is followed, bodies are bounded, and nothing of them is told."""
    caplog.set_level(logging.DEBUG)
    targets = []

    async def handle(request: Request) -> Response:
        targets.append(request.raw_path)
        return instead

    idp.server.handler = handle
    api = await site(pki, read(idp.configuration(), time.time, "https://own"))
    try:
        answer = await api.post(WHOAMI, {}, token=idp.token())
        assert answer.status == 401 and "internal" not in answer.text + caplog.text
        assert targets == ["/.well-known/openid-configuration"]
    finally:
        await api.stop()


async def test_the_discovery_document_may_be_elsewhere(pki: Pki, idp: Idp) -> None:
    configuration = idp.configuration()
    inside, idp.url = idp.url, "https://idp.example"
    idp.jwks_uri = f"{inside}/keys"
    configuration["jwt"][0]["issuer"] |= {"url": idp.url, "discoveryURL": f"{inside}/.well-known/openid-configuration"}
    api = await site(pki, read(configuration, time.time, "https://own"))
    try:
        assert (await api.who(idp.token()))["username"] == "idp:jane"
    finally:
        await api.stop()


async def test_anonymous_requests_can_be_kept_to_some_paths(pki: Pki) -> None:
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    some = document | {"anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]}}
    api = await site(pki, read(some, time.time, "x"))
    try:
        assert (await api.get("/livez", token=None)).status == 200
        assert (await api.get("/readyz", token=None)).status == 401 and (await api.get("/version", token=None)).status == 401
    finally:
        await api.stop()
    assert read(document | {"anonymous": {"enabled": False}}, time.time, "x") == ((), False, None)


CLAIMS = {"sub": "jane", "email": "jane@example.com", "email_verified": True, "roles": ["a", "b"], "tenant": "t1", "number": 3}


def mapped(**issuer: Any) -> Any:
    return Mapper({"claimMappings": {"username": {"claim": "sub", "prefix": ""}}, **issuer}, "jwt[0]").user(CLAIMS)


def test_expressions_map_claims() -> None:
    user = mapped(claimMappings={
        "username": {"expression": "claims.tenant + ':' + claims.sub"}, "groups": {"expression": "claims.roles.map(r, 'role:' + r)"},
        "uid": {"expression": "string(claims.number)"}, "extra": [
            {"key": "example.com/tenant", "valueExpression": "claims.tenant"}, {"key": "example.com/none", "valueExpression": "''"}]})
    assert user.info() == {"username": "t1:jane", "uid": "3", "groups": ["role:a", "role:b", "system:authenticated"], "extra": {"example.com/tenant": ["t1"]}}


@pytest.mark.parametrize(
    ("issuer", "complaint"),
    [
        ({"claimValidationRules": [{"claim": "tenant", "requiredValue": "t2"}]}, "required claim tenant value does not match"),
        ({"claimValidationRules": [{"claim": "hd", "requiredValue": "x"}]}, "required claim hd not present"),
        ({"claimValidationRules": [{"expression": "claims.number > 5", "message": "too small"}]}, "'claims.number > 5' failed: too small"),
        ({"claimValidationRules": [{"expression": "claims.absent == 'x'"}]}, "no such key"),
        ({"userValidationRules": [{"expression": "user.username.startsWith('system:')", "message": "no"}]}, "failed: no"),
        ({"claimMappings": {"username": {"expression": "claims.absent"}}}, "no such key"),
        ({"claimMappings": {"username": {"claim": "number", "prefix": ""}}}, "not a string"),
    ],
)
def test_rules_refuse_tokens(issuer: Object, complaint: str) -> None:
    with pytest.raises(Refused) as caught:
        mapped(**issuer)
    assert complaint in str(caught.value)


def test_an_address_must_be_verified() -> None:
    by_mail = {"claimMappings": {"username": {"claim": "email", "prefix": ""}}}
    assert Mapper(by_mail, "").user(CLAIMS).name == "jane@example.com"
    with pytest.raises(Refused, match="email not verified"):
        Mapper(by_mail, "").user(CLAIMS | {"email_verified": False})
    with pytest.raises(ConfigurationError, match="email_verified"):
        Mapper({"claimMappings": {"username": {"expression": "claims.email"}}}, "jwt[0]")


def broken(**changes: Any) -> Object:
    issuer = {"url": "https://idp.example", "audiences": ["x"], **changes.pop("issuer", {})}
    entry = {"issuer": issuer, "claimMappings": {"username": {"claim": "sub", "prefix": ""}}, **changes}
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [entry]}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "is no AuthenticationConfiguration"), (broken() | {"webhook": 1}, 'unknown field "webhook"'), (broken(issuer={"url": ""}), "URL is required"),
        (broken(issuer={"url": "http://x"}), "URL scheme must be https"), (broken(issuer={"url": "https://own"}), "disallowed issuers"),
        (broken(issuer={"url": "https://a@x"}), "must not contain a username"), (broken(issuer={"audiences": []}), "issuer.audiences is required"),
        (broken(issuer={"audiences": ["a", "b"]}), "must be set to MatchAny"), (broken(issuer={"certificateAuthority": "x"}), "not a PEM bundle"),
        (broken(issuer={"discoveryURL": "https://idp.example/"}), "must be different from URL"), (broken(claimMappings={}), "claim or expression is required"),
        (broken(claimMappings={"username": {"claim": "sub"}}), "prefix is required when claim is set"),
        (broken(claimMappings={"username": {"claim": "sub", "expression": "claims.sub"}}), "can't both be set"),
        (broken(claimMappings={"username": {"expression": "claims."}}), "compilation failed"), (broken(claimMappings={"username": {"expression": "1"}}), "must evaluate to string"),
        (broken(claimValidationRules=[{}]), "exactly one of claim and expression"), (broken(userValidationRules=[{"expression": "user.nme"}]), "compilation failed"),
        (broken(claimMappings={"username": {"claim": "sub", "prefix": ""}, "extra": [{"key": "k8s.io/x", "valueExpression": "''"}]}), "reserved for Kubernetes"),
        (broken(claimMappings={"username": {"claim": "sub", "prefix": ""}, "extra": [{"key": "x", "valueExpression": "''"}]}), "domain-prefixed path"),
        ({**broken(), "jwt": broken()["jwt"] * 2}, "Duplicate value"),
        ({**broken(), "anonymous": {"enabled": False, "conditions": [{"path": "/x"}]}}, "enabled should be set to true"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, document: Object, complaint: str) -> None:
    file = tmp_path / "authentication.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationError) as caught:
        load(file, time.time, "https://own")
    assert complaint in str(caught.value) and str(file) in str(caught.value)
