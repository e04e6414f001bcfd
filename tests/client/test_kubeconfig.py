from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from tiffin.client.kubeconfig import Kubeconfig, KubeconfigError, client_from_kubeconfig, load, load_file, save

DOCUMENT = {
    "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "a", "extensions": [{"name": "kept"}],
    "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1/prefix", "unknown": 1}}],
    "users": [{"name": "a", "user": {"token": "t"}}],
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "n"}}],
}  # fmt: skip


def test_what_is_not_understood_survives(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "config"
    save(Kubeconfig.from_dict(DOCUMENT), file)
    assert load_file(file).to_dict() == DOCUMENT
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_several_files_merge_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**DOCUMENT, "current-context": "b", "users": [{"name": "a", "user": {"token": "late"}}, {"name": "b", "user": {"token": "b"}}]}
    save(Kubeconfig.from_dict({**DOCUMENT, "current-context": ""}), tmp_path / "one")
    save(Kubeconfig.from_dict(other), tmp_path / "two")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/one:{tmp_path}/missing:{tmp_path}/two")
    merged = load()
    assert merged.users == {"a": {"token": "t"}, "b": {"token": "b"}}
    assert merged.current_context == "b"


def test_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("users: [{name: a, user: {client-key: pki/key.pem, tokenFile: /abs}}]")
    assert load_file(tmp_path / "config").users["a"] == {"client-key": f"{tmp_path}/pki/key.pem", "tokenFile": "/abs"}


@pytest.mark.parametrize("text", ["[]", "{", "clusters: {}", "clusters: [1]", "users: [{name: a, user: x}]", "\0"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(KubeconfigError):
        load_file(tmp_path / "config")


async def test_a_client_from_a_context() -> None:
    client = client_from_kubeconfig(Kubeconfig.from_dict(DOCUMENT))
    assert client.pool.origin.authority == "127.0.0.1:1"


@pytest.mark.parametrize("change", [
    {"current-context": "none"},
    {"current-context": ""},
    {"clusters": []},
    {"users": [{"name": "a", "user": {"exec": {"command": "x"}}}]},
    {"clusters": [{"name": "a", "cluster": {"server": "https://h", "certificate-authority-data": "%"}}]},
    {"clusters": [{"name": "a", "cluster": {"server": "https://h", "certificate-authority": "/does/not/exist"}}]},
])  # fmt: skip
def test_what_does_not_suffice_says_so(change: dict) -> None:
    with pytest.raises(KubeconfigError):
        client_from_kubeconfig(Kubeconfig.from_dict(DOCUMENT | change))


def test_inline_data_is_base64() -> None:
    from tiffin.client.kubeconfig import _pem

    assert _pem({"client-key-data": base64.b64encode(b"pem").decode()}, "client-key") == "pem"
