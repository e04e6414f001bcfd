"""Images: valid by their own digests, the same bytes every time, nothing outside their root."""
from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from tiffin.cluster.oci import Directory, File, Image, Link, docker_archive, layer_tar, oci_archive

IMAGE = Image(
    "kiamol/hello",
    "amd64",
    [{"/bin/tool": File(b"tool", 0o755), "/bin/sh": Link("/bin/tool")}, {"/srv/page": File(b"page"), "/tmp": Directory(0o1777)}],
    entrypoint=["/bin/tool"],
    command=["serve"],
    environment={"A": "1"},
    ports=["80/tcp"],
)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def test_layer_has_parents_modes_links_and_no_time() -> None:
    with tarfile.open(fileobj=io.BytesIO(layer_tar(IMAGE.layers[0]))) as tar:
        found = {member.name: member for member in tar}
    assert list(found) == ["bin", "bin/sh", "bin/tool"]
    assert found["bin"].isdir() and found["bin"].mode == 0o755
    assert found["bin/sh"].linkname == "/bin/tool"
    assert found["bin/tool"].mode == 0o755
    assert {member.mtime for member in found.values()} == {0}


@pytest.mark.parametrize("path", ["/", "/../etc/passwd", "/a/../../b"])
def test_layer_refuses_what_is_outside(path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside an image"):
        layer_tar({path: File(b"")})


@pytest.mark.parametrize("write", [docker_archive, oci_archive])
def test_archives_are_reproducible(write) -> None:  # type: ignore[no-untyped-def]
    assert write(IMAGE) == write(IMAGE)


def test_docker_archive_names_its_parts_by_their_digests() -> None:
    files = members(docker_archive(IMAGE))
    [manifest] = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == ["kiamol/hello:latest"]
    config = files[manifest["Config"]]
    assert manifest["Config"] == hashlib.sha256(config).hexdigest() + ".json"
    diffs = ["sha256:" + hashlib.sha256(files[layer]).hexdigest() for layer in manifest["Layers"]]
    assert json.loads(config)["rootfs"]["diff_ids"] == diffs
    assert json.loads(config)["config"] == {
        "WorkingDir": "/", "Entrypoint": ["/bin/tool"], "Cmd": ["serve"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}},
    }


def test_oci_archive_is_a_closed_web_of_digests() -> None:
    files = members(oci_archive(IMAGE))
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    [descriptor] = json.loads(files["index.json"])["manifests"]
    assert descriptor["annotations"]["io.containerd.image.name"] == "kiamol/hello:latest"
    manifest = blob(files, descriptor)
    config = json.loads(blob(files, json.loads(manifest)["config"]))
    layers = [blob(files, layer) for layer in json.loads(manifest)["layers"]]
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]


def blob(files: dict[str, bytes], descriptor: dict[str, object]) -> bytes:
    digest = str(descriptor["digest"]).removeprefix("sha256:")
    content = files[f"blobs/sha256/{digest}"]
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, descriptor["size"])
    return content


@pytest.mark.parametrize("name, tagged", [("a/b", "a/b:latest"), ("a/b:1", "a/b:1"), ("localhost:5000/b", "localhost:5000/b:latest")])
def test_names_without_a_tag_are_latest(name: str, tagged: str) -> None:
    [manifest] = json.loads(members(docker_archive(Image(name, "amd64", [])))["manifest.json"])
    assert manifest["RepoTags"] == [tagged]
