"""What pods keep on the node's disk (attack 25): counted where a pod can put it, and the pod evicted for more than it may keep."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.kubelet.builders import container, pod
from tests.kubelet.scenario import scenario
from tiffin.kubelet.container_config import log_directory_name
from tiffin.kubelet.eviction import victim
from tiffin.kubelet.storage import Stored, excess, is_limited, measure, used
from tiffin.machinery.object import Object, name_of, uid_of

MI = 1 << 20


def limited(limit: str = "2Mi", **spec: Any) -> Object:
    return pod(container(resources={"limits": {"ephemeral-storage": limit}}), **spec)


def fill(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


@pytest.mark.parametrize(("subject", "stored", "words"), [
    (limited(), Stored({"main": MI}, {"v": MI}), ""),
    (limited(), Stored({}, {}, 3 * MI), "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "),
    (limited(), Stored({"main": MI}, {"v": MI}, 1), "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "),
    (pod(container(resources={"limits": {"ephemeral-storage": "1Mi"}}), container("other", resources={"limits": {"ephemeral-storage": "3Mi"}})),
     Stored({"main": 2 * MI}), 'Container main exceeded its local ephemeral storage limit "1Mi". '),
    (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]), Stored({}, {"v": 2 * MI}), 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
    (pod(volumes=[{"name": "v", "emptyDir": {}}]), Stored({"main": MI}, {"v": 2 * MI}, 5 * MI), ""),
])  # fmt: skip
def test_why_a_pod_has_to_go(subject: Object, stored: Stored, words: str) -> None:
    assert excess(subject, stored) == words


@pytest.mark.parametrize(("subject", "is_so"), [
    (limited(), True), (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]), True), (pod(), False),
    (pod(volumes=[{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]), False),
])  # fmt: skip
def test_who_is_measured(subject: Object, is_so: bool) -> None:
    assert is_limited(subject) is is_so


def test_attack_25_whatever_a_pod_can_write_is_counted(tmp_path: Path) -> None:
    """CVE-2020-8557: /etc/hosts counts like a volume or a log does."""
    subject = limited(volumes=[{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}])
    directory = tmp_path / "pods" / uid_of(subject)
    fill(directory / "etc-hosts", 3 * MI)
    fill(directory / "containers" / "main" / "0a1b2c3d", MI)
    fill(directory / "volumes" / "kubernetes.io~empty-dir" / "v" / "deep" / "file", 2 * MI)
    fill(tmp_path / "logs" / log_directory_name(subject) / "main" / "0.log", MI)
    stored = measure(subject, directory, tmp_path / "logs", {"main": 10})
    assert 4 * MI <= stored.shared < 5 * MI and 2 * MI <= stored.volumes["v"] < 3 * MI and MI <= stored.containers["main"] - 10 < 2 * MI
    assert "m" not in stored.volumes
    assert excess(subject, stored)


def test_links_and_holes_count_for_what_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "host", 4 * MI)
    volume = tmp_path / "v"
    fill(volume / "one", MI)
    os.link(volume / "one", volume / "two")
    (volume / "out").symlink_to(tmp_path)
    (volume / "round").symlink_to(volume)
    with open(volume / "hole", "wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(volume / "pipe")
    assert MI <= used(volume) < 2 * MI
    assert used(tmp_path / "none") == 0


def test_a_full_disk_takes_those_who_filled_it() -> None:
    quiet, loud = pod(meta={"name": "quiet", "uid": "quiet"}), pod(meta={"name": "loud", "uid": "loud"})
    asked = pod(container(resources={"requests": {"ephemeral-storage": "1Gi"}}), meta={"name": "asked", "uid": "asked"})
    found = victim([quiet, asked, loud], {"quiet": {"main": 5}, "loud": {"main": 1, "": 20 * MI}, "asked": {"": 500 * MI}}, "disk")
    assert found is not None and name_of(found) == "loud"


async def test_attack_25_a_pod_that_fills_its_hosts_file_is_evicted(tmp_path: Path) -> None:
    async with scenario(tmp_path) as play:
        await play.run(limited())
        hosts = tmp_path / "kubelet" / "pods" / uid_of(play.pod()) / "etc-hosts"
        await play.wait(11)
        assert play.pod()["status"]["phase"] == "Running"
        fill(hosts, 3 * MI)
        await play.wait(11)
        await play.until(lambda: play.pod()["status"]["phase"] == "Failed")
        assert play.pod()["status"]["reason"] == "Evicted"
        assert play.pod()["status"]["message"] == "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
        assert "Evicted" in play.reasons()
