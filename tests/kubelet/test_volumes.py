"""Volumes on a real file system: content, atomic change, ownership, and pods that try to lead the agent astray."""
from __future__ import annotations

import base64
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kubelet.builders import NOW, container, pod
from tiffin.kubelet import syscalls
from tiffin.kubelet.fields import Facts
from tiffin.kubelet.volumes import payload, subpath
from tiffin.kubelet.volumes.manager import Volumes, remove_tree
from tiffin.kubelet.volumes.ownership import give_to_group
from tiffin.kubelet.volumes.payload import File
from tiffin.kubelet.volumes.types import VolumeFault, volume_types
from tiffin.machinery.object import Object

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
FACTS = Facts(("10.0.0.5",), ("192.0.2.1",), {})


class Objects:
    """Two config maps, one secret and as many tokens as asked for."""

    def __init__(self) -> None:
        self.maps: dict[str, Object] = {"m": {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\xff").decode()}}}
        self.secrets: dict[str, Object] = {"s": {"data": {"p": base64.b64encode(b"secret").decode()}}}
        self.tokens = 0

    async def config_map(self, namespace: str, name: str) -> Object | None:
        return self.maps.get(name)

    async def secret(self, namespace: str, name: str) -> Object | None:
        return self.secrets.get(name)

    async def token(self, pod: Object, audience: str, seconds: int) -> Any:
        self.tokens += 1
        return f"{audience}-{self.tokens}", NOW, NOW + timedelta(seconds=seconds)


def shown(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in os.listdir(path) if not name.startswith("..") and (path / name).is_file()}


# ---- versions of a volume


def test_readers_see_one_version_or_the_other(tmp_path: Path) -> None:
    assert payload.write(tmp_path, {"a": File(b"1", 0o644), "dir/b": File(b"2", 0o600)}, None, NOW)
    assert os.readlink(tmp_path / "a") == "..data/a" and os.readlink(tmp_path / "dir") == "..data/dir"
    first = os.readlink(tmp_path / "..data")
    assert not payload.write(tmp_path, {"a": File(b"1", 0o644), "dir/b": File(b"2", 0o600)}, None, NOW)
    assert os.readlink(tmp_path / "..data") == first
    assert payload.write(tmp_path, {"a": File(b"9", 0o640), "c": File(b"3", 0o644)}, None, NOW)
    assert shown(tmp_path) == {"a": b"9", "c": b"3"}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert not (tmp_path / first).exists() and not (tmp_path / "dir").exists()
    assert len(os.listdir(tmp_path)) == 4


NAMES = st.text(alphabet="abc.", min_size=1, max_size=4).filter(lambda n: not n.startswith("..") and n != ".")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.dictionaries(NAMES, st.binary(max_size=5), max_size=4), min_size=1, max_size=4))
def test_whatever_the_versions_the_last_is_shown_and_nothing_is_left(tmp_path: Path, versions: list[dict[str, bytes]]) -> None:
    for version in versions:
        payload.write(tmp_path, {name: File(data, 0o644) for name, data in version.items()}, None, NOW)
        assert shown(tmp_path) == version
        assert len([n for n in os.listdir(tmp_path) if n.startswith("..2")]) == 1


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "..x", "", "a\0b", "..data"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VolumeFault):
        payload.write(tmp_path / "v", {name: File(b"", 0o644)}, None, NOW)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("trick", ["data link", "data directory", "version link", "name link"])
def test_a_pod_that_plants_links_deletes_nothing_of_the_host(tmp_path: Path, trick: str) -> None:
    """CVE-2017-1002102."""
    host, volume = tmp_path / "host", tmp_path / "volume"
    host.mkdir()
    (host / "precious").write_text("mine")
    payload.write(volume, {"a": File(b"1", 0o644)}, None, NOW)
    version = os.readlink(volume / "..data")
    match trick:
        case "data link":
            (volume / "..data").unlink()
            (volume / "..data").symlink_to(host)
        case "data directory":
            (volume / "..data").unlink()
            (volume / "..data").symlink_to("../host")
        case "version link":
            remove_tree(volume / version)
            (volume / version).symlink_to(host)
        case "name link":
            (volume / "a").unlink()
            (volume / "a").symlink_to(host / "precious")
    payload.write(volume, {"a": File(b"2", 0o644), "b": File(b"3", 0o644)}, None, NOW)
    assert (host / "precious").read_text() == "mine" and os.listdir(host) == ["precious"]
    remove_tree(volume)
    assert (host / "precious").read_text() == "mine"


def test_the_whole_directory_as_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "volume").symlink_to(tmp_path / "host")
    with pytest.raises(OSError):
        payload.write(tmp_path / "volume", {"a": File(b"1", 0o644)}, None, NOW)
    assert os.listdir(tmp_path / "host") == []


# ---- parts of volumes


@pytest.fixture
def volume(tmp_path: Path) -> Any:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "secret").write_text("root only")
    place = tmp_path / "volume"
    place.mkdir()
    yield place
    for mount in syscalls.mounts_beneath(str(tmp_path)):
        syscalls.unmount(mount.path)


@needs_root
def test_a_part_is_made_and_pinned(volume: Path) -> None:
    target = subpath.pin(volume, "a/b", volume.parent / "target")
    (target / "file").write_text("x")
    assert (volume / "a" / "b" / "file").read_text() == "x"
    assert subpath.pin(volume, "a/b", target) == target
    (volume / "f").write_text("one file")
    assert subpath.pin(volume, "f", volume.parent / "file").read_text() == "one file"


@needs_root
def test_links_within_the_volume_are_followed(volume: Path) -> None:
    payload.write(volume, {"key": File(b"value", 0o644)}, None, NOW)
    assert subpath.pin(volume, "key", volume.parent / "t").read_bytes() == b"value"


@needs_root
@pytest.mark.parametrize(("plant", "part"), [
    ("../host", "link"), ("../host", "link/secret"), ("../host", "link/new"), ("/", "link/etc"), ("/proc/self/root", "link/etc"), ("/proc/self/cwd", "link"), ("link", "link"),
])
def test_links_out_of_the_volume_are_not(volume: Path, plant: str, part: str) -> None:
    """CVE-2017-1002101, CVE-2021-25741."""
    (volume / "link").symlink_to(plant)
    with pytest.raises(VolumeFault) as caught:
        subpath.pin(volume, part, volume.parent / "target")
    assert "root only" not in str(caught.value)
    assert syscalls.mounts_beneath(str(volume.parent)) == []
    assert os.listdir(volume.parent / "host") == ["secret"]


@pytest.mark.parametrize("part", ["../host", "a/../../host", "/etc", "a\0b"])
def test_paths_out_of_the_volume_are_not(volume: Path, part: str) -> None:
    with pytest.raises(VolumeFault):
        subpath.pin(volume, part, volume.parent / "target")


@needs_root
def test_a_directory_swapped_for_a_link_after_the_fact_changes_nothing(volume: Path) -> None:
    target = subpath.pin(volume, "a", volume.parent / "target")
    (volume / "a").rename(volume / "aside")
    (volume / "a").symlink_to("../host")
    assert os.listdir(target) == []


# ---- types


async def made(tmp_path: Path, *volumes: Object, objects: Objects | None = None, one: Object | None = None, **spec: Any) -> tuple[Volumes, Object]:
    manager = Volumes(tmp_path, objects or Objects())
    wish = pod(one or container(), volumes=list(volumes), **spec)
    await manager.set_up(wish, FACTS, NOW)
    return manager, wish


def place(tmp_path: Path, kind: str, name: str = "v") -> Path:
    return tmp_path / "pods" / "u1" / "volumes" / f"kubernetes.io~{kind}" / name


def test_the_types_there_are() -> None:
    assert set(volume_types()) == {"configMap", "downwardAPI", "emptyDir", "hostPath", "projected", "secret"}


async def test_config_maps(tmp_path: Path) -> None:
    await made(tmp_path, {"name": "v", "configMap": {"name": "m", "defaultMode": 0o400}})
    assert shown(place(tmp_path, "configmap")) == {"a": b"1", "b": b"2", "c": b"\xff"}
    await made(tmp_path, {"name": "w", "configMap": {"name": "m", "items": [{"key": "a", "path": "deep/x", "mode": 0o600}]}})
    assert (place(tmp_path, "configmap", "w") / "deep" / "x").read_text() == "1"


@pytest.mark.parametrize(("source", "words"), [
    ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
    ({"configMap": {"name": "m", "items": [{"key": "zz", "path": "x"}]}}, "configmap references non-existent config key: zz"),
    ({"emptyDir": {"medium": "Odd"}}, 'unknown storage medium "Odd"'),
    ({"hostPath": {"path": "/nowhere/at/all", "type": "Directory"}}, "hostPath type check failed: /nowhere/at/all is not a directory"),
    ({"hostPath": {"path": "/etc/passwd", "type": "Socket"}}, "hostPath type check failed: /etc/passwd is not a socket"),
    ({"gitRepo": {"repository": "x"}}, "no volume plugin matched name: gitRepo"),
    ({"persistentVolumeClaim": {"claimName": "x"}}, "no volume plugin matched name: persistentVolumeClaim"),
])
async def test_what_cannot_be_says_why(tmp_path: Path, source: Any, words: str) -> None:
    with pytest.raises(VolumeFault) as caught:
        await made(tmp_path, {"name": "v"} | source)
    assert str(caught.value) == f'MountVolume.SetUp failed for volume "v" : {words}'


async def test_every_volume_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(VolumeFault) as caught:
        await made(tmp_path, {"name": "v", "configMap": {"name": "x"}}, {"name": "w", "configMap": {"name": "y"}}, {"name": "ok", "emptyDir": {}})
    assert len(str(caught.value).splitlines()) == 2


async def test_optional_sources_may_be_missing(tmp_path: Path) -> None:
    await made(tmp_path, {"name": "v", "configMap": {"name": "none", "optional": True}}, {"name": "w", "configMap": {"name": "m", "optional": True, "items": [{"key": "zz", "path": "x"}]}})
    assert shown(place(tmp_path, "configmap")) == {} and shown(place(tmp_path, "configmap", "w")) == {}


@needs_root
async def test_secrets_and_tokens_live_in_memory(tmp_path: Path) -> None:
    sources = [
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 1000}}, {"configMap": {"name": "m", "items": [{"key": "a", "path": "a"}]}},
        {"secret": {"name": "s"}}, {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    manager, wish = await made(tmp_path, {"name": "s", "secret": {"secretName": "s"}}, {"name": "v", "projected": {"sources": sources, "defaultMode": 0o444}}, securityContext={"runAsUser": 77})
    assert shown(place(tmp_path, "projected")) == {"token": b"vault-1", "a": b"1", "p": b"secret", "ns": b"default"}
    token = (place(tmp_path, "projected") / "token").stat()
    assert (stat.S_IMODE(token.st_mode), token.st_uid) == (0o600, 77)
    assert {m.kind for m in syscalls.mounts_beneath(str(tmp_path))} == {"tmpfs"}
    refresh_at = await manager.set_up(wish, FACTS, NOW, only_following=True)
    assert refresh_at == NOW + timedelta(seconds=800)
    assert (place(tmp_path, "projected") / "token").read_text() == "vault-2"
    await manager.remove("u1")
    assert syscalls.mounts_beneath(str(tmp_path)) == [] and os.listdir(tmp_path / "pods") == []


@needs_root
async def test_fs_group(tmp_path: Path) -> None:
    await made(tmp_path, {"name": "v", "configMap": {"name": "m"}}, {"name": "e", "emptyDir": {}}, securityContext={"fsGroup": 4321})
    config = (place(tmp_path, "configmap") / "a").stat()
    assert config.st_gid == 4321 and config.st_mode & 0o440 == 0o440
    scratch = place(tmp_path, "empty-dir", "e").stat()
    assert scratch.st_gid == 4321 and scratch.st_mode & 0o2070 == 0o2070


@needs_root
def test_ownership_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "link").symlink_to(tmp_path / "outside")
    before = (tmp_path / "outside").stat()
    give_to_group(tmp_path / "v", 4321)
    after = (tmp_path / "outside").stat()
    assert (before.st_gid, before.st_mode) == (after.st_gid, after.st_mode)


async def test_host_paths_are_made_when_asked(tmp_path: Path) -> None:
    await made(tmp_path, {"name": "d", "hostPath": {"path": str(tmp_path / "d/e"), "type": "DirectoryOrCreate"}}, {"name": "f", "hostPath": {"path": str(tmp_path / "f"), "type": "FileOrCreate"}})
    assert (tmp_path / "d" / "e").is_dir() and (tmp_path / "f").is_file()


@needs_root
async def test_removal_never_reaches_into_what_is_mounted(tmp_path: Path) -> None:
    """A part of a hostPath is bound inside the pod's directory; removing the pod must not remove the host's files."""
    (tmp_path / "host" / "part").mkdir(parents=True)
    (tmp_path / "host" / "part" / "file").write_text("mine")
    mounts = [{"name": "h", "mountPath": "x", "subPathExpr": "$(PART)"}, {"name": "c", "mountPath": "/c"}]
    one = container(volumeMounts=mounts)
    manager, wish = await made(tmp_path, {"name": "h", "hostPath": {"path": str(tmp_path / "host")}}, {"name": "c", "configMap": {"name": "m"}}, one=one)
    part, config = manager.mounts(wish, one, {"PART": "part"})
    assert part.container_path == "/x" and (Path(part.host_path) / "file").read_text() == "mine"
    assert config.read_only
    with pytest.raises(VolumeFault):
        manager.mounts(wish, one, {})
    await manager.tear_down("u1")
    await manager.remove("u1")
    assert (tmp_path / "host" / "part" / "file").read_text() == "mine"
    assert not (tmp_path / "pods" / "u1").exists()
