"""Limits are raised when they are too low, put back afterwards, and named when they may not be raised."""
from __future__ import annotations

from pathlib import Path

import pytest

from tiffin.cluster import limits
from tiffin.cluster.limits import INSTANCES, WATCHES


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "SETTINGS", tmp_path / "sys")
    for setting, value in ((INSTANCES, 128), (WATCHES, 1 << 20)):
        (tmp_path / "sys" / setting).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / setting).write_text(f"{value}\n")
    return tmp_path / "sys"


def test_only_what_is_too_low_is_raised_and_put_back_with_the_last_cluster(settings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert limits.wanted(8) == {INSTANCES: 2304} and limits.wanted(0) == {}
    assert limits.raise_for(3, run) == [] and limits.wanted(3) == {}
    assert limits.raise_for(8, run) == []
    assert (int((settings / INSTANCES).read_text()), int((settings / WATCHES).read_text())) == (2304, 1 << 20)
    limits.restore(run)
    assert int((settings / INSTANCES).read_text()) == 128
    limits.restore(run)


def test_what_may_not_be_raised_is_said_with_the_command(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, text: str) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "write_text", refuse)
    (problem,) = limits.raise_for(8, tmp_path / "run")
    assert problem.what == "fs.inotify.max_user_instances is 128, which is little for 8 nodes"
    assert problem.mend == "sysctl -w fs.inotify.max_user_instances=2304"


def test_a_kernel_without_the_setting_has_no_limit(settings: Path) -> None:
    (settings / INSTANCES).unlink()
    assert limits.wanted(200) == {WATCHES: 8192 * 201}
