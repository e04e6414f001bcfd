"""Images of a cluster's nodes: given from files, listed, removed, pulled; and the pause image, which tiffin makes itself."""
from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from tiffin.cluster import oci
from tiffin.cluster.containerd import PAUSE_IMAGE
from tiffin.cluster.layout import NodeLayout
from tiffin.cluster.pause import pause_program

if TYPE_CHECKING:
    from tiffin.kubelet.cri import CriRuntime

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NAMESPACE = "k8s.io"  # containerd's own name for what came through CRI

T = TypeVar("T")


class ImageError(Exception):
    """An image could not be loaded, pulled or removed; the message says which and why."""


async def ensure_pause(node: NodeLayout) -> None:
    """Gives the pause image to the node's containerd; a few kilobytes, so it is not asked first whether it is there."""
    image = oci.Image(
        PAUSE_IMAGE,
        _ARCHITECTURES[platform.machine()],
        [{"/pause": oci.File(pause_program(_ARCHITECTURES[platform.machine()]), 0o755)}],
        entrypoint=["/pause"],
    )
    await _import(node, "-", oci.oci_archive(image))


async def load(nodes: Sequence[NodeLayout], files: Sequence[Path]) -> list[str]:
    """Gives the images in the files (`docker save` or OCI layout, as tar) to every node, and answers their names."""
    names: dict[str, None] = {}
    for file in files:
        if not file.is_file():
            raise ImageError(f"{file}: no such file")
        for loaded in await asyncio.gather(*(_import(node, str(file.absolute())) for node in nodes)):
            names.update(dict.fromkeys(loaded))
    return list(names)


@dataclass(frozen=True, order=True)
class ImageRow:
    """One image of a node: the node, the image's name, the short form of its id, its size in bytes."""

    node: str
    name: str
    id: str
    size: int


async def rows(nodes: Sequence[NodeLayout]) -> list[ImageRow]:
    """Every image of every node but the pause image, by node and name."""
    listed = await _on_each(nodes, lambda runtime: runtime.images())
    return sorted(
        ImageRow(node.name, name, image.id.removeprefix("sha256:")[:13], image.size)
        for node, images in zip(nodes, listed)
        for image in images
        for name in (list(image.repo_tags) or list(image.repo_digests))
        if name != PAUSE_IMAGE
    )


async def remove(nodes: Sequence[NodeLayout], names: Sequence[str]) -> None:
    """Removes images from every node. Raises `ImageError` for one that no node has."""
    for name in names:
        found = await _on_each(nodes, lambda runtime, name=name: runtime.image_status(name))  # type: ignore[misc]
        if not any(found):
            raise ImageError(f"{name}: no such image")
        await _on_each(nodes, lambda runtime, name=name: runtime.remove_image(name))  # type: ignore[misc]


async def copy(source: NodeLayout, target: NodeLayout) -> None:
    """Gives `target` the images that `source` has and it has not, so that a node that comes later has what was loaded before."""
    has = await rows([source, target])
    names = sorted({row.name for row in has if row.node == source.name} - {row.name for row in has if row.node == target.name})
    if not names:
        return
    read, write = os.pipe()
    with open(read, "rb") as archive:
        with open(write, "wb") as sink:
            command = ["ctr", *_client_options(source), "images", "export", "-", *names]
            export = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=asyncio.subprocess.PIPE)
        results = await asyncio.gather(_import(target, "-", archive), export.communicate(), return_exceptions=True)
    if export.returncode != 0 and isinstance(results[1], tuple):
        raise ImageError(f"{source.name}: {results[1][1].decode(errors='replace').strip().removeprefix('ctr: ')}")
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def pull(nodes: Sequence[NodeLayout], names: Sequence[str]) -> None:
    """Fetches images to every node from the registries their names say, completed as Kubernetes completes them."""
    from tiffin.kubelet.proto import cri_pb2

    for name in names:
        await _on_each(nodes, lambda runtime, name=name: runtime.pull_image(name, None, cri_pb2.PodSandboxConfig()))  # type: ignore[misc]


async def _on_each(nodes: Sequence[NodeLayout], action: Callable[[CriRuntime], Awaitable[T]]) -> list[T]:
    # gRPC is large and most commands do without.
    from tiffin.kubelet.cri import CriRuntime
    from tiffin.kubelet.runtime import RuntimeFault

    async def on_one(node: NodeLayout) -> T:
        runtime = CriRuntime(str(node.containerd_socket))
        try:
            return await action(runtime)
        except RuntimeFault as error:
            raise ImageError(f"{node.name}: {error.text}") from error
        finally:
            await runtime.close()

    return await asyncio.gather(*(on_one(node) for node in nodes))


def _client_options(node: NodeLayout) -> list[str]:
    return ["--address", str(node.containerd_socket), "--namespace", _NAMESPACE]


async def _import(node: NodeLayout, file: str, content: bytes | BinaryIO | None = None) -> list[str]:
    """Through containerd's own client, which knows every archive format there is; answers the images' names."""
    source = asyncio.subprocess.DEVNULL if content is None else asyncio.subprocess.PIPE if isinstance(content, bytes) else content
    process = await asyncio.create_subprocess_exec(
        "ctr",
        *_client_options(node),
        "images",
        "import",
        file,
        stdin=source,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(content if isinstance(content, bytes) else None)
    if process.returncode != 0:
        raise ImageError(f"{node.name}: {file}: {errors.decode(errors='replace').strip().removeprefix('ctr: ')}")
    return [line.split()[1] for line in output.decode().splitlines() if line.startswith("unpacking ")]
