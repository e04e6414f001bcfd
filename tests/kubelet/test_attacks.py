"""Attacks on a node that take time: a volume that changes while it is mounted (20), a container that is started again (23)."""
from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from tests.kubelet.builders import container, pod
from tests.kubelet.scenario import scenario
from tiffin.kubelet import syscalls
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.volumes import subpath
from tiffin.kubelet.volumes.types import VolumeFault

AT_FDCWD, RENAME_EXCHANGE = -100, 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_attack_20_a_directory_that_keeps_turning_into_a_link(tmp_path: Path) -> None:
    """CVE-2017-1002101, CVE-2021-25741: the pod swaps directory and link, at once and without end, while the part is pinned."""
    host, volume = tmp_path / "host", tmp_path / "volume"
    for directory, owner in ((host, "host"), (volume, "volume"), (volume / "a", "volume")):
        directory.mkdir()
        (directory / "whose").write_text(owner)
    (volume / "b").symlink_to("../host")
    libc, over = ctypes.CDLL(None, use_errno=True), threading.Event()

    def swap() -> None:
        one, other = str(volume / "a").encode(), str(volume / "b").encode()
        while not over.is_set():
            libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)

    attacker = threading.Thread(target=swap)
    attacker.start()
    pinned = refused = 0
    try:
        while (pinned < 20 or refused < 20) and pinned + refused < 5000:
            target = tmp_path / "targets" / str(pinned + refused)
            try:
                assert (subpath.pin(volume, "a", target) / "whose").read_text() == "volume"
                pinned += 1
            except VolumeFault:
                refused += 1
    finally:
        over.set()
        attacker.join()
        for mount in syscalls.mounts_beneath(str(tmp_path)):
            syscalls.unmount(mount.path)
    assert pinned and refused, "so both were met"
    assert sorted(os.listdir(host)) == ["whose"]


async def test_attack_23_who_may_not_be_root_is_looked_at_on_every_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2019-11245: the image's user was looked at on the first start only, and a restarted container was root."""
    user = 7

    async def image_status(image: str) -> cri.Image:
        return cri.Image(id="i", uid=cri.Int64Value(value=user))

    async with scenario(tmp_path) as play:
        monkeypatch.setattr(play.runtime, "image_status", image_status)
        await play.run(pod(container(securityContext={"runAsNonRoot": True}), restartPolicy="Always"))
        assert "running" in play.status()["state"]
        user = 0
        play.runtime.finish("main", 1)
        await play.wait(30)
        state = play.status()["state"]
        assert state["waiting"]["reason"] == "CreateContainerConfigError" and "image will run as root" in state["waiting"]["message"]
        assert len([call for call in play.calls("start") if "main" in call]) == 1
