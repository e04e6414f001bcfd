"""The kubeconfig: ours goes in and out, and what was there stays as it was."""
from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from tiffin.cluster import kubeconfig

THEIRS = """\
apiVersion: v1
kind: Config
preferences: {colors: true}
current-context: prod
clusters:
- name: prod
  cluster: {server: "https://prod.example:6443", certificate-authority: ca.crt, unknown-field: kept}
users:
- name: prod
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login}}
contexts:
- name: prod
  context: {cluster: prod, user: prod, namespace: web}
"""


def ours(context: str = "tiffin", port: int = 6443) -> dict:  # type: ignore[type-arg]
    return kubeconfig.document(context, f"https://127.0.0.1:{port}", b"ca", b"certificate", b"key")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "config"


def names(file: Path) -> list[str]:
    return [entry["name"] for entry in yaml.safe_load(file.read_text())["contexts"]]


def test_a_new_file_is_private_and_current(file: Path) -> None:
    assert kubeconfig.merge(file, ours())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert yaml.safe_load(file.read_text()) == ours()


def test_what_is_there_stays_and_stays_current(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(THEIRS)
    assert not kubeconfig.merge(file, ours())
    merged, before = yaml.safe_load(file.read_text()), yaml.safe_load(THEIRS)
    assert merged["current-context"] == "prod"
    assert merged["preferences"] == {"colors": True}
    for entries in ("clusters", "users", "contexts"):
        assert merged[entries] == before[entries] + ours()[entries]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_merging_again_replaces_only_ours(file: Path) -> None:
    for context, port in (("tiffin", 1), ("tiffin-b", 2), ("tiffin", 3)):
        kubeconfig.merge(file, ours(context, port))
    assert sorted(names(file)) == ["tiffin", "tiffin-b"]
    servers = {entry["name"]: entry["cluster"]["server"] for entry in yaml.safe_load(file.read_text())["clusters"]}
    assert servers == {"tiffin": "https://127.0.0.1:3", "tiffin-b": "https://127.0.0.1:2"}


def test_removal_is_the_reverse(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(THEIRS)
    kubeconfig.merge(file, ours())
    kubeconfig.remove(file, "tiffin")
    assert yaml.safe_load(file.read_text()) == yaml.safe_load(THEIRS)
    kubeconfig.remove(file, "tiffin")
    kubeconfig.remove(file.with_name("none"), "tiffin")


def test_a_current_context_that_is_gone_gives_way(file: Path) -> None:
    kubeconfig.merge(file, ours())
    kubeconfig.remove(file, "tiffin")
    assert kubeconfig.merge(file, ours("tiffin-b"))


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    (tmp_path / "target").write_text(THEIRS)
    file.symlink_to(tmp_path / "target")
    kubeconfig.merge(file, ours())
    assert file.is_symlink() and names(tmp_path / "target") == ["prod", "tiffin"]


@pytest.mark.parametrize("content", ["{", "[]", "text", "contexts: [1]", "clusters:\n- x\n"])
def test_what_is_no_kubeconfig_is_left_alone(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(kubeconfig.UnreadableKubeconfig, match="config"):
        kubeconfig.merge(file, ours())
    assert file.read_text() == content


@pytest.mark.parametrize("value, expected", [("", "home/.kube/config"), ("one", "one"), ("one:two", "two"), ("two:one", "two"), (":one:", "one")])
def test_the_file_kubectl_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, expected: str) -> None:
    (tmp_path / "two").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUBECONFIG", value)
    assert kubeconfig.default_file().absolute() == tmp_path / expected
