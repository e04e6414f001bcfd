"""What `up` and `doctor` say about a machine: the cause in a sentence and the command that mends it."""
from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin import cli
from tiffin.cluster import cni, preflight
from tiffin.cluster.layout import Layout
from tiffin.cluster.preflight import Problem, Wish, problems


@pytest.fixture(autouse=True)
def a_good_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every check finds what it needs, unless a test says otherwise."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight.shutil, "which", lambda program, path=None: f"/usr/bin/{program}")
    monkeypatch.setattr(cni, "plugin_dir", lambda: Path("/usr/lib/cni"))
    monkeypatch.setattr(preflight, "_FOR_NODES", [check for check in preflight._FOR_NODES if check[0] in ("root", "programs")])
    monkeypatch.setattr("tiffin.cluster.layout.default_root", lambda: tmp_path / "root")


def wish(tmp_path: Path, nodes: int = 1, port: int = 0, name: str = "tiffin") -> Wish:
    return Wish(Layout(name, tmp_path / "data"), port, nodes)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_nothing_is_wrong(tmp_path: Path) -> None:
    assert problems(wish(tmp_path)) == []


def test_not_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    [problem] = problems(wish(tmp_path, name="b"))
    assert problem.mend.startswith("sudo tiffin up --name b ") and "--nodes 0 --simulated 1" in problem.mend
    assert problems(wish(tmp_path, nodes=0)) == []


@pytest.mark.parametrize(
    "missing, command",
    [
        ({"containerd", "ctr"}, "apt-get install -y containerd"),
        ({"nft", "iptables"}, "apt-get install -y nftables iptables"),
        ({"runc", "crun"}, "apt-get install -y runc"),
        ({"crun"}, None),
    ],
)
def test_missing_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: set[str], command: str | None) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda program, path=None: None if program in missing else program)
    assert [problem.mend for problem in problems(wish(tmp_path))] == ([command] if command else [])


def test_missing_cni_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cni, "plugin_dir", lambda: None)
    assert problems(wish(tmp_path)) == [Problem("not installed: CNI plugins", "apt-get install -y containernetworking-plugins")]


def test_a_taken_port_names_who_has_it_and_a_free_one(tmp_path: Path, taken_port: int) -> None:
    [problem] = problems(wish(tmp_path, port=taken_port))
    assert problem.what.startswith(f"port {taken_port} is taken by ") and f"(pid {os.getpid()})" in problem.what
    free = int(problem.mend.removeprefix("tiffin up --port "))
    assert problems(wish(tmp_path, port=free)) == []
    assert problems(Wish(Layout("tiffin", tmp_path), taken_port, 1, port_is_ours=True)) == []


@pytest.mark.parametrize("port", [-1, 65536])
def test_no_port(tmp_path: Path, port: int) -> None:
    assert [problem.what for problem in problems(wish(tmp_path, port=port))] == [f"{port} is no port number"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((real.f_bsize, real.f_frsize, real.f_blocks, 100, 100, *tuple(real)[5:]))
    monkeypatch.setattr(os, "statvfs", lambda place: full)
    [problem] = problems(wish(tmp_path, nodes=0))
    assert problem.what.startswith(f"the disk that holds {tmp_path} is full: 0 MB are free")
    assert problem.mend.startswith(f"df -h {tmp_path}")


@pytest.mark.parametrize("content, words", [('{"version": 99}', "state version 99"), ("{", "cannot be read")])
def test_state_that_cannot_be_used(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cluster.json").write_text(content)
    [problem] = problems(wish(tmp_path))
    assert words in problem.what and "tiffin down --purge --name tiffin" in problem.mend


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert "not a directory" in problems(wish(tmp_path))[0].what


def test_up_says_all_of_it_and_changes_nothing(
    tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cni, "plugin_dir", lambda: None)
    assert cli.main(["up", "--data-dir", str(tmp_path / "data"), "--port", str(taken_port)]) == 1
    said = capsys.readouterr().err
    assert f"port {taken_port} is taken" in said and "apt-get install -y containernetworking-plugins" in said
    assert list(tmp_path.iterdir()) == []


def test_doctor_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["doctor", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    assert cli.main(arguments) == 0
    assert all(line.startswith("ok ") for line in capsys.readouterr().out.splitlines())
    monkeypatch.setattr(cni, "plugin_dir", lambda: None)
    assert cli.main(arguments) == 1
    assert "LACKING programs: not installed: CNI plugins\n        mend it with: apt-get install -y containernetworking-plugins\n" in capsys.readouterr().out
