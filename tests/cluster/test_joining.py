"""Tokens, the trust in what a server says of itself, and the routes to machines that joined."""
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from tiffin import cli
from tiffin.client.memory import MemoryClient
from tiffin.cluster import jointokens
from tiffin.cluster.discovery import (
    CONFIG_MAPS,
    CONFIG_NAME,
    CONFIG_NAMESPACE,
    Facts,
    Untrusted,
    cluster_info,
    facts_of,
    publish,
    verified_authority,
)
from tiffin.cluster.jointokens import BadToken, JoinToken, new_token, secret_of, token_of
from tiffin.cluster.routes import Place, Site, networks, wanted
from tiffin.controllers.bootstrapsigner import CLUSTER_INFO, signature
from tiffin.machinery.object import Object
from tiffin.net.certrequest import key_digest
from tiffin.net.pki import ensure_pki
from tiffin.runtime.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "abcdef.0123456789abcdef"
FACTS = Facts("https://192.0.2.1:6443", "10.244.0.0/16", "10.96.0.0/16", "10.96.0.10", "cluster.local", "10.199.0.0/24", 40)

# ---- tokens


def test_a_token_is_kubeadms_secret() -> None:
    token = new_token(timedelta(hours=1), description="lab", text=TOKEN, now=NOW)
    secret = secret_of(token)
    assert (secret["type"], secret["metadata"]) == ("bootstrap.kubernetes.io/token", {"name": "bootstrap-token-abcdef", "namespace": "kube-system"})
    assert secret["stringData"] == {
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "description": "lab", "expiration": "2026-01-01T01:00:00Z",
        "usage-bootstrap-signing": "true", "usage-bootstrap-authentication": "true", "auth-extra-groups": jointokens.GROUP,
    }  # fmt: skip
    stored = secret | {"data": {name: _encoded(value) for name, value in secret["stringData"].items()}}
    assert token_of(stored) == token


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def test_made_up_tokens_differ_and_may_last_for_ever() -> None:
    first, second = new_token(None), new_token(None)
    assert first.text != second.text and first.expires is None and "expiration" not in secret_of(first)["stringData"]


@pytest.mark.parametrize("text", ["", "abcdef", "abcdef.short", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef\n", "../../x.0123456789abcdef"])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(BadToken):
        jointokens.split(text)


async def test_tokens_are_listed_and_withdrawn() -> None:
    client = MemoryClient(FakeClock().now)
    for text in (TOKEN, "aaaaaa.0123456789abcdef"):
        token = new_token(None, text=text)
        await jointokens.create(client, token)
        client.put(jointokens.SECRETS, secret_of(token) | {"data": {k: _encoded(v) for k, v in secret_of(token)["stringData"].items()}})
    assert [token.id for token in await jointokens.tokens(client)] == ["aaaaaa", "abcdef"]
    with pytest.raises(BadToken, match="there is a token abcdef already"):
        await jointokens.create(client, JoinToken("abcdef", "x" * 16, None, ()))
    await jointokens.delete(client, TOKEN)
    with pytest.raises(BadToken, match="there is no token abcdef"):
        await jointokens.delete(client, "abcdef")


# ---- trust


@pytest.fixture
def ca(tmp_path: Path) -> bytes:
    return ensure_pki(tmp_path, ["localhost"]).ca_pem


def info(ca: bytes, token: str = TOKEN, **more: str) -> Object:
    content = cluster_info("https://192.0.2.1:6443", ca)
    id, _, secret = token.partition(".")
    return {"data": {"kubeconfig": content, f"jws-kubeconfig-{id}": signature(content, id, secret)} | more}


def test_the_authority_is_believed_when_token_and_digest_vouch_for_it(ca: bytes) -> None:
    assert verified_authority(info(ca), TOKEN, [key_digest(ca)]) == ca
    assert verified_authority(info(ca), TOKEN, ["sha256:" + "0" * 64, key_digest(ca).upper().replace("SHA", "sha")]) == ca
    assert verified_authority(info(ca), TOKEN, []) == ca


@pytest.mark.parametrize(
    "change, digest, reason",
    [
        ({}, "sha256:" + "0" * 64, "certificate authority is another: its key has the digest sha256:"),
        ({"jws-kubeconfig-abcdef": "eyJhbGciOiJub25lIn0.."}, None, "not signed with this token"),
        ({"jws-kubeconfig-abcdef": ""}, None, "not signed with this token"),
        ({"kubeconfig": "clusters: []"}, None, "not signed with this token"),
    ],
)
def test_what_is_not_believed(ca: bytes, change: dict[str, str], digest: str | None, reason: str) -> None:
    with pytest.raises(Untrusted, match=reason):
        verified_authority(info(ca, **change), TOKEN, [digest or key_digest(ca)])


@pytest.mark.parametrize("content", ["", "[]", "clusters: 1", "clusters: [{cluster: {certificate-authority-data: '!'}}]", "\tx", "clusters: [{cluster: {certificate-authority-data: eHg=}}]"])
def test_signed_nonsense_is_said_to_be_unreadable(content: str) -> None:
    config_map = {"data": {"kubeconfig": content, "jws-kubeconfig-abcdef": signature(content, "abcdef", "0123456789abcdef")}}
    with pytest.raises(Untrusted, match="cannot be read"):
        verified_authority(config_map, TOKEN, [])


def test_without_a_signature_of_the_token_nothing_is_believed(ca: bytes) -> None:
    with pytest.raises(Untrusted, match="the server knows no token zzzzzz"):
        verified_authority(info(ca), "zzzzzz.0123456789abcdef", [key_digest(ca)])


async def test_what_is_published_can_be_read_again_and_changes(ca: bytes) -> None:
    client = MemoryClient(FakeClock().now)
    await publish(client, FACTS, ca)
    moved = replace(FACTS, server="https://192.0.2.9:6443", lease_seconds=3)
    await publish(client, moved, ca)
    assert facts_of(await client.get(CONFIG_MAPS, CONFIG_NAMESPACE, CONFIG_NAME)) == moved
    assert "192.0.2.9" in (await client.get(CONFIG_MAPS, *CLUSTER_INFO))["data"]["kubeconfig"]
    with pytest.raises(Untrusted, match="is not what this tiffin knows"):
        facts_of({"data": {"pods": "x"}})


# ---- routes


def node(name: str, address: str, pods: str = "", joined: bool = False) -> Object:
    spec: dict[str, Any] = {"podCIDRs": [pods], "podCIDR": pods} if pods else {}
    return {"metadata": {"name": name, "labels": {"tiffin.dev/joined": "true"} if joined else {}}, "spec": spec, "status": {"addresses": [{"type": "InternalIP", "address": address}]}}


NODES = [
    node("node-1", "10.199.0.2", "10.244.0.0/24"),
    node("node-2", "10.199.0.3", "10.244.1.0/24"),
    node("near", "192.0.2.7", "10.244.2.0/24", True),
    node("far", "203.0.113.7", "10.244.3.0/24", True),
    node("new", "192.0.2.8", "", True),
    {"metadata": {"name": "silent"}, "spec": {"podCIDRs": ["10.244.9.0/24"]}},
    node("greedy", "192.0.2.66", "0.0.0.0/1", True),
    node("all", "192.0.2.67", "10.244.0.0/16", True),
    node("odd", "nonsense", "10.244.8.0/24", True),
    node("six", "2001:db8::1", "2001:db8:1::/64", True),
]
LINKS = [IPv4Network("192.0.2.0/24")]


@pytest.mark.parametrize(
    "site, expected",
    [
        (Site(Place.HOST, "", "", "10.199.0.0/24", "10.244.0.0/16"), {"10.244.2.0/24": "192.0.2.7", "10.244.3.0/24": "203.0.113.7"}),
        (Site(Place.BRIDGED, "node-1", "10.199.0.1", "10.199.0.0/24", "10.244.0.0/16"), {"10.244.2.0/24": "10.199.0.1", "10.244.3.0/24": "10.199.0.1"}),
        (
            Site(Place.REMOTE, "other", "192.0.2.1", "10.199.0.0/24", "10.244.0.0/16"),
            {
                "10.199.0.0/24": "192.0.2.1", "10.244.0.0/24": "192.0.2.1", "10.244.1.0/24": "192.0.2.1",
                "10.244.2.0/24": "192.0.2.7", "10.244.3.0/24": "192.0.2.1",
            },
        ),
        (
            Site(Place.REMOTE, "near", "192.0.2.1", "10.199.0.0/24", "10.244.0.0/16"),
            {"10.199.0.0/24": "192.0.2.1", "10.244.0.0/24": "192.0.2.1", "10.244.1.0/24": "192.0.2.1", "10.244.3.0/24": "192.0.2.1"},
        ),
    ],
)  # fmt: skip
def test_how_each_place_reaches_pods(site: Site, expected: dict[str, str]) -> None:
    assert wanted(site, NODES, LINKS) == expected


def test_only_our_own_networks_are_touched() -> None:
    assert networks(Site(Place.HOST, "", "", "10.199.0.0/24", "10.244.0.0/16")) == ["10.244.0.0/16"]
    assert networks(Site(Place.REMOTE, "a", "192.0.2.1", "10.199.0.0/24", "10.244.0.0/16")) == ["10.244.0.0/16", "10.199.0.0/24"]


# ---- the command line


@pytest.mark.parametrize(
    "words, said",
    [
        (["join", "https://192.0.2.1:6443", "--token", "x"], "the token is not of the form abcdef.0123456789abcdef"),
        (["join", "http://192.0.2.1:6443", "--token", TOKEN], "is no https URL"),
        (["join", "192.0.2.1:6443", "--token", TOKEN], "say which certificate authority the cluster has"),
        (["join", "192.0.2.1:6443", "--token", TOKEN, "--discovery-token-ca-cert-hash", "sha256:x"], "is no digest of a key"),
        (["join", "192.0.2.1:6443", "--token", TOKEN, "--discovery-token-ca-cert-hash", "sha256:" + "0" * 64, "--node-name", "A_b"], "is no node name"),
        (["leave"], "this machine has joined no cluster of that name"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--data-dir", str(tmp_path / "data")]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
