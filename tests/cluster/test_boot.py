"""The systemd unit, as text, and what is said where there is no systemd."""
from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

import pytest

from tiffin.cluster import boot
from tiffin.cluster.layout import Layout


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(boot, "RUNNING", tmp_path)
    monkeypatch.setattr(boot.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(boot, "_systemctl", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return made


def test_the_unit_runs_up_at_boot_and_down_when_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("HOME", "/root")
    layout = Layout("lab", tmp_path / "a 100% good place")
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read_string(boot.unit(layout))
    arguments = f'--name lab --data-dir "{tmp_path}/a 100%% good place"'
    assert unit["Service"]["ExecStart"] == f"{sys.executable} -m tiffin up {arguments}"
    assert unit["Service"]["ExecStop"] == f"{sys.executable} -m tiffin down {arguments}"
    assert (unit["Service"]["Type"], unit["Service"]["RemainAfterExit"], unit["Service"]["KillMode"]) == ("oneshot", "yes", "process")
    assert '"HOME=/root"' in unit["Service"]["Environment"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    assert boot.unit_file(layout) == Path("/etc/systemd/system/tiffin-lab.service")


def test_enabled_and_disabled(calls: list[tuple[str, ...]], tmp_path: Path) -> None:
    layout = Layout("tiffin", tmp_path / "data")
    file = boot.enable(layout)
    assert file == tmp_path / "config/systemd/user/tiffin.service" and "WantedBy=default.target" in file.read_text()
    assert calls == [("daemon-reload",), ("enable", "tiffin.service")]
    assert boot.disable(layout) and not file.exists() and calls[-1] == ("disable", "tiffin.service")
    assert not boot.disable(layout)


def test_without_systemd_the_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "RUNNING", tmp_path / "none")
    with pytest.raises(boot.CannotEnable, match=r"systemd does not run this machine; .*\n    .* -m tiffin up --name tiffin --data-dir "):
        boot.enable(Layout("tiffin", tmp_path))
