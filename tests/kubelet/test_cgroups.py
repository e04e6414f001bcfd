"""Cgroups of pods on make-believe hierarchies of both versions."""
from __future__ import annotations

from pathlib import Path

from tests.kubelet.builders import container, pod
from tiffin.kubelet.cgroups import Cgroups

BOUNDED = pod(container(resources={"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "250m", "memory": "1Gi"}}))


def test_version_1(tmp_path: Path) -> None:
    for name in ("cpu,cpuacct", "memory", "unified"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    cgroups = Cgroups("/tiffin/n1", tmp_path)
    cgroups.ensure(BOUNDED)
    place = Path("tiffin/n1/burstable/podu1")
    assert (tmp_path / "cpu,cpuacct" / place / "cpu.shares").read_text() == "256"
    assert (tmp_path / "cpu,cpuacct" / place / "cpu.cfs_quota_us").read_text() == "50000"
    assert (tmp_path / "memory" / place / "memory.limit_in_bytes").read_text() == str(2**30)
    assert (tmp_path / "unified" / place).is_dir() and cgroups.pods() == {"u1"}


def test_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    cgroups = Cgroups("/tiffin/n1", tmp_path)
    cgroups.ensure(BOUNDED)
    place = tmp_path / "tiffin/n1/burstable/podu1"
    assert cgroups.unified and (place / "cpu.max").read_text() == "50000 100000" and (place / "memory.max").read_text() == str(2**30)
    assert (place.parent / "cgroup.subtree_control").read_text().startswith("+cpu")
    plain = pod(meta={"uid": "u2"})
    cgroups.ensure(plain)
    assert (tmp_path / "tiffin/n1/besteffort/podu2/memory.max").read_text() == "max"


def test_removal(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    cgroups = Cgroups("/tiffin/n1", tmp_path)
    deep = tmp_path / "memory/tiffin/n1/besteffort/podu1/container"
    deep.mkdir(parents=True)
    cgroups.remove(pod())
    assert not deep.parent.exists() and deep.parent.parent.exists()
    deep.mkdir(parents=True)
    cgroups.remove_uid("u1")
    assert cgroups.pods() == set()
