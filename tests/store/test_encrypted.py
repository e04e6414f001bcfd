"""Encryption at rest: what lies in the file, who can read it, and how keys are rotated."""
from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tiffin.apiserver.encryption.configuration import ConfigurationError, Encryption
from tiffin.machinery.object import Key, Object
from tiffin.store.encrypted import EncryptedLog
from tiffin.store.log import Record, Undecipherable
from tiffin.store.sqlite import SqliteLog
from tiffin.store.store import Store, Write

SECRET = "hunter2-is-not-a-good-password"
KEY, OTHER = base64.b64encode(bytes(range(32))).decode(), base64.b64encode(os.urandom(32)).decode()


def provider(kind: str, name: str = "k1", secret: str = KEY) -> Object:
    return {kind: {"keys": [{"name": name, "secret": secret}]}}


IDENTITY: Object = {"identity": {}}


def config(*providers: Any, resources: tuple[str, ...] = ("secrets",)) -> Object:
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [
        {"resources": list(resources), "providers": list(providers)}]}


def opened(path: Path, *providers: Any, resources: tuple[str, ...] = ("secrets",)) -> Store:
    return Store(EncryptedLog(SqliteLog(path), Encryption(config(*providers, resources=resources))))


def secret(name: str, value: str = SECRET) -> Write:
    return Write("secrets", Key("default", name), {"metadata": {"name": name, "namespace": "default"}, "data": {"p": value}}, 0)


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name))


@pytest.mark.parametrize("kind", ["aescbc", "aesgcm", "secretbox"])
async def test_the_file_holds_no_secret_and_the_store_still_does(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state.db"
    store = opened(path, provider(kind), IDENTITY)
    await store.commit(secret("a"), Write("configmaps", Key("default", "m"), {"metadata": {"name": "m"}, "data": {"x": "in the open"}}, 0))
    assert SECRET.encode() not in on_disk(path) and f"k8s:enc:{kind}:v1:k1:".encode() in on_disk(path)
    assert b"in the open" in on_disk(path)
    assert store.get("secrets", Key("default", "a")).object["data"] == {"p": SECRET}  # type: ignore[union-attr]
    await store.close()
    assert SECRET.encode() not in on_disk(path)
    again = opened(path, provider(kind), IDENTITY)
    assert again.get("secrets", Key("default", "a")).object["data"] == {"p": SECRET}  # type: ignore[union-attr]
    await again.close()


async def test_what_was_plain_is_sealed_at_the_next_start_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    plain = Store(SqliteLog(path))
    for number in range(50):
        await plain.commit(secret(f"s{number}"))
    await plain.close()
    assert SECRET.encode() in on_disk(path)
    store = opened(path, provider("aesgcm"), IDENTITY)
    assert SECRET.encode() not in on_disk(path)
    assert store.get("secrets", Key("default", "s7")).object["data"] == {"p": SECRET}  # type: ignore[union-attr]
    await store.close()


async def test_a_key_is_rotated_by_putting_a_new_one_first(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = opened(path, provider("aescbc", "old"))
    await store.commit(secret("a"))
    await store.close()
    both: Object = {"secretbox": {"keys": [{"name": "new", "secret": OTHER}]}}
    await opened(path, both, provider("aescbc", "old")).close()
    alone = opened(path, both)
    assert alone.get("secrets", Key("default", "a")).object["data"] == {"p": SECRET}  # type: ignore[union-attr]
    await alone.close()
    assert b"aescbc" not in on_disk(path)
    back = opened(path, IDENTITY, both)
    await back.close()
    assert SECRET.encode() in on_disk(path)


@pytest.mark.parametrize(
    ("open_it", "complaint"),
    [
        (lambda path: opened(path, provider("aescbc", "k1", OTHER)), "secrets default/a is encrypted as aescbc:k1, but not with the key"),
        (lambda path: opened(path, provider("aescbc", "k2")), "secrets default/a is encrypted as aescbc:k1, for which the configuration has no"),
        (lambda path: opened(path, provider("aesgcm"), IDENTITY), "for which the configuration has no such provider and key"),
        (lambda path: opened(path, provider("aescbc"), resources=("configmaps",)), "for which the configuration has no"),
        (lambda path: Store(SqliteLog(path)), "the store holds encrypted objects"),
    ],
)
async def test_a_wrong_key_is_told_at_start(tmp_path: Path, open_it: Callable[[Path], Store], complaint: str) -> None:
    path = tmp_path / "state.db"
    store = opened(path, provider("aescbc"))
    await store.commit(secret("a"))
    await store.close()
    with pytest.raises(Undecipherable) as caught:
        open_it(path)
    assert complaint in str(caught.value) and KEY not in str(caught.value) and OTHER not in str(caught.value)


async def test_plain_data_needs_the_identity_provider(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    plain = Store(SqliteLog(path))
    await plain.commit(secret("a"))
    await plain.close()
    with pytest.raises(Undecipherable, match="is not encrypted"):
        opened(path, provider("aescbc"))


@pytest.mark.parametrize(
    ("names", "resource", "covered"),
    [
        (("secrets",), "secrets", True), (("secrets",), "secrets.example.com", False), (("*.",), "configmaps", True), (("*.",), "jobs.batch", False),
        (("*.apps",), "deployments.apps", True), (("*.apps",), "pods", False), (("*.*",), "pods", True), (("*.*",), "jobs.batch", True),
        (("deployments.apps",), "deployments.apps", True),
    ],
)
def test_wildcards_cover_groups(names: tuple[str, ...], resource: str, covered: bool) -> None:
    record = Record(1, resource, "n", "x", None)
    assert Encryption(config(provider("aesgcm"), resources=names)).seal(record, b"data").startswith(b"k8s:enc:") is covered


@given(st.text(max_size=300), st.sampled_from(["aescbc", "aesgcm", "secretbox"]))
def test_what_is_sealed_opens_again(text: str, kind: str) -> None:
    data = orjson.dumps({"x": text})
    ciphers, record = Encryption(config(provider(kind))), Record(1, "secrets", "n", "x", None)
    assert ciphers.open(record, ciphers.seal(record, data)) == (data, False)


def test_no_wrong_key_passes_for_a_good_one() -> None:
    """AES-CBC alone takes one wrong key in 256 for good."""
    record = Record(1, "secrets", "n", "x", None)
    sealed = Encryption(config(provider("aescbc"))).seal(record, b'{"a":1}')
    for _ in range(2000):
        with pytest.raises(Undecipherable):
            Encryption(config(provider("aescbc", "k1", base64.b64encode(os.urandom(16)).decode()))).open(record, sealed)


@pytest.mark.parametrize("kind", ["aesgcm", "secretbox"])
def test_tampering_is_noticed(kind: str) -> None:
    ciphers, record = Encryption(config(provider(kind))), Record(1, "secrets", "n", "x", None)
    sealed = bytearray(ciphers.seal(record, b"data"))
    sealed[-1] ^= 1
    with pytest.raises(Undecipherable):
        ciphers.open(record, bytes(sealed))


def test_a_sealed_record_is_bound_to_its_place() -> None:
    ciphers = Encryption(config(provider("aesgcm")))
    sealed = ciphers.seal(Record(1, "secrets", "mine", "x", None), b"data")
    with pytest.raises(Undecipherable):
        ciphers.open(Record(1, "secrets", "yours", "x", None), sealed)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "is no EncryptionConfiguration"), (config() | {"resources": []}, "at least one resource config"), (config(), "at least one provider"),
        (config(IDENTITY, resources=()), "at least one resource is required"), (config(IDENTITY, resources=("*",)), "for everything"),
        (config({"kms": {"apiVersion": "v2", "name": "x"}}), "kms: Forbidden: key management services are not supported"),
        (config({"rot13": {}}), 'unknown field "rot13"'), (config({"aescbc": {}}), "at least one key"),
        (config({**IDENTITY, **provider("aescbc")}), "more than one provider"), (config(provider("aescbc", "")), "needs a name"),
        (config(provider("aescbc", "k", "%%%")), "must be base64"), (config(provider("aescbc", "k", "c2hvcnQ=")), "16 or 24 or 32 bytes, not 5"),
        (config(provider("secretbox", "k", base64.b64encode(b"x" * 16).decode())), "32 bytes, not 16"),
    ],
)
def test_a_bad_file_is_named_with_its_fault_and_no_key(tmp_path: Path, document: Object, complaint: str) -> None:
    file = tmp_path / "encryption.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationError) as caught:
        Encryption.load(file)
    assert complaint in str(caught.value) and str(file) in str(caught.value) and "c2hvcnQ" not in str(caught.value)
