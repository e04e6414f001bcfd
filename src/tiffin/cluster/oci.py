"""Container images made from bytes in memory: layers, config, manifest and index, and the tar file that carries them.

Reproducible: the same content gives the same bytes, hence the same digests, on every machine and day: entries are sorted, times
are 1970, owners are root. Layers are plain tar, so that importing them costs no decompression.

Sources: OCI image-spec v1.1 (layout, manifest, config), Docker image specification v1.2 (`manifest.json` of `docker save`).
"""
from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

_EPOCH = "1970-01-01T00:00:00Z"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class File:
    """A regular file of a layer."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Directory:
    """A directory; those above a file need not be named, they are made with mode 0755."""

    mode: int = 0o755


Entry = File | Link | Directory


@dataclass(frozen=True)
class Image:
    """What an image holds and how it is run. `layers` map absolute paths to entries, the lowest layer first."""

    name: str
    architecture: str
    layers: Sequence[Mapping[str, Entry]]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: str = ""
    ports: Sequence[str] = ()
    """Such as `80/tcp`."""
    labels: Mapping[str, str] = field(default_factory=dict)


def layer_tar(entries: Mapping[str, Entry]) -> bytes:
    """One layer as an uncompressed tar."""
    complete: dict[str, Entry] = {}
    for path, entry in entries.items():
        parts = path.strip("/").split("/")
        if not parts[0] or ".." in parts:
            raise ValueError(f"not a path inside an image: {path!r}")
        for depth in range(1, len(parts)):
            complete.setdefault("/".join(parts[:depth]), Directory())
        complete["/".join(parts)] = entry
    return _tar(sorted(complete.items()))


def docker_archive(image: Image) -> bytes:
    """The tar file `docker save` would write; its name is completed as Docker completes it when it is loaded."""
    layers = [layer_tar(layer) for layer in image.layers]
    config = _config(image, layers)
    config_name = f"{_hex(config)}.json"
    layer_names = [f"{_hex(layer)}/layer.tar" for layer in layers]
    manifest = [{"Config": config_name, "RepoTags": [_tagged(image.name)], "Layers": layer_names}]
    files = {config_name: config, **dict(zip(layer_names, layers)), "manifest.json": orjson.dumps(manifest)}
    return _tar([(name, File(content)) for name, content in files.items()])


def oci_archive(image: Image) -> bytes:
    """An OCI image layout in a tar file; the index names the image in full, and the name is used as it stands."""
    layers = [layer_tar(layer) for layer in image.layers]
    config = _config(image, layers)
    manifest = orjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": _descriptor(_CONFIG_TYPE, config),
            "layers": [_descriptor(_LAYER_TYPE, layer) for layer in layers],
        }
    )
    name = _tagged(image.name)
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    platform = {"architecture": image.architecture, "os": "linux"}
    descriptor = {**_descriptor(_MANIFEST_TYPE, manifest), "platform": platform, "annotations": annotations}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [descriptor]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": orjson.dumps(index)}
    files |= {f"blobs/sha256/{_hex(blob)}": blob for blob in (config, manifest, *layers)}
    return _tar([(name, File(content)) for name, content in files.items()])


def _config(image: Image, layers: Sequence[bytes]) -> bytes:
    run: dict[str, Any] = {"WorkingDir": image.working_dir}
    if image.entrypoint:
        run["Entrypoint"] = list(image.entrypoint)
    if image.command:
        run["Cmd"] = list(image.command)
    if image.environment:
        run["Env"] = [f"{name}={value}" for name, value in image.environment.items()]
    if image.user:
        run["User"] = image.user
    if image.ports:
        run["ExposedPorts"] = {port: {} for port in image.ports}
    if image.labels:
        run["Labels"] = dict(image.labels)
    return orjson.dumps(
        {
            "created": _EPOCH,
            "architecture": image.architecture,
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_hex(layer)}" for layer in layers]},
            "history": [{"created": _EPOCH, "created_by": "tiffin"} for _ in layers],
        }
    )


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{_hex(blob)}", "size": len(blob)}


def _hex(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _tar(entries: Sequence[tuple[str, Entry]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in entries:
            info = tarfile.TarInfo(path)
            if isinstance(entry, File):
                info.size, info.mode = len(entry.content), entry.mode
                archive.addfile(info, io.BytesIO(entry.content))
            elif isinstance(entry, Link):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
                archive.addfile(info)
            else:
                info.type, info.mode = tarfile.DIRTYPE, entry.mode
                archive.addfile(info)
    return buffer.getvalue()
