"""Regular work around the pods: rotating logs, removing unused images, mirroring static pods, removing what strangers left."""
from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from tiffin.kubelet import eviction, rotation, runtime, static_pods, storage, syscalls
from tiffin.kubelet.inotify import Notifier
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.publish import PODS
from tiffin.kubelet.registrar import Registrar
from tiffin.kubelet.run import Kubelet
from tiffin.kubelet.runtime import RuntimeFault
from tiffin.kubelet.volumes.types import VolumeFault
from tiffin.kubelet.worker import PodWorker
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import name_of, namespace_of, uid_of

log = logging.getLogger(__name__)

ROTATION_INTERVAL, IMAGE_INTERVAL, STORAGE_INTERVAL = 10.0, 300.0, 10.0
IMAGE_MIN_AGE = timedelta(minutes=2)
MIRROR_RETRY = 5.0


async def rotate_logs(kubelet: Kubelet) -> None:
    """Keep logs of running containers short, until cancelled."""
    node = kubelet.node
    while True:
        await node.clock.sleep(ROTATION_INTERVAL)
        for run in [run for worker in kubelet.workers() for run in worker.runtime.running if run.log_path]:
            try:
                await rotation.rotate(run, node.runtime, node.config.container_log_max_size, node.config.container_log_max_files, node.clock.now())
            except (OSError, RuntimeFault) as error:
                log.warning("log of container %s not rotated: %s", run.name, error)


def images_to_remove(images: Sequence[cri.Image], in_use: set[str], seen: dict[str, datetime], to_free: int, now: datetime) -> list[cri.Image]:
    """Unused images, the longest unused first, until `to_free` bytes are reached; `seen` says when each was last in use."""
    unused = [i for i in images if not i.pinned and i.id not in in_use and not in_use & {*i.repo_tags, *i.repo_digests} and now - seen.get(i.id, now) >= IMAGE_MIN_AGE]
    chosen, freed = [], 0
    for image in sorted(unused, key=lambda i: seen.get(i.id, now)):
        if freed >= to_free:
            break
        chosen.append(image)
        freed += image.size
    return chosen


async def collect_images(kubelet: Kubelet) -> None:
    """Remove unused images when the disk fills up, until cancelled."""
    node, seen = kubelet.node, dict[str, datetime]()
    while True:
        await node.clock.sleep(IMAGE_INTERVAL)
        disk = os.statvfs(node.config.root_dir)
        used = 100 - disk.f_bavail * 100 // max(disk.f_blocks, 1)
        try:
            images = await node.runtime.images()
            in_use = {x for w in kubelet.workers() for run in w.runtime.containers for x in (run.image, run.image_ref)}
            now = node.clock.now()
            for image in images:
                if image.id not in seen or image.id in in_use or in_use & {*image.repo_tags, *image.repo_digests}:
                    seen[image.id] = now
            if used < node.config.image_gc_high:
                continue
            to_free = (used - node.config.image_gc_low) * disk.f_blocks * disk.f_frsize // 100
            for image in images_to_remove(images, in_use, seen, to_free, now):
                log.info("removing unused image %s", image.id)
                await node.runtime.remove_image(image.id)
        except RuntimeFault as fault:
            log.warning("images not collected: %s", fault)


async def relieve(kubelet: Kubelet, kind: str) -> None:
    """Evict one pod because the node is short of something."""
    node = kubelet.node
    active = {w.uid: w for w in kubelet.workers() if w.is_active and not w.is_ending}
    try:
        stats = await node.runtime.stats()
    except RuntimeFault as fault:
        log.warning("nobody evicted, as usage is unknown: %s", fault)
        return
    usage = _by_container(stats, kind)
    if kind == "disk":
        for uid, worker in active.items():
            stored = await _stored(kubelet, worker, usage)
            usage[uid] = {**stored.containers, "": sum(stored.volumes.values()) + stored.shared}
    chosen = eviction.victim([w.pod for w in active.values()], usage, kind)
    if chosen is not None:
        words = eviction.message(chosen, usage, kind)
        node.recorder.event(chosen, "Warning", eviction.REASON, words)
        active[uid_of(chosen)].end(eviction.REASON, words, 0)


def _by_container(stats: Sequence[cri.ContainerStats], kind: str) -> dict[str, dict[str, int]]:
    """Memory, or bytes of writable layers, by UID of the pod and name of the container."""
    usage: dict[str, dict[str, int]] = {}
    for entry in stats:
        used = entry.memory.working_set_bytes.value if kind == "memory" else entry.writable_layer.used_bytes.value
        labels = entry.attributes.labels
        usage.setdefault(labels.get(runtime.POD_UID, ""), {})[labels.get(runtime.CONTAINER_NAME, "")] = used
    return usage


async def _stored(kubelet: Kubelet, worker: PodWorker, layers: Mapping[str, Mapping[str, int]]) -> storage.Stored:
    node = kubelet.node
    directory = node.volumes.pod_directory(worker.uid)
    return await asyncio.to_thread(storage.measure, worker.pod, directory, node.config.pod_log_dir, layers.get(worker.uid, {}))


async def limit_storage(kubelet: Kubelet) -> None:
    """Evict pods that keep more on the disk than their limits, until cancelled. Costs nothing where no pod has such limits."""
    node = kubelet.node
    while True:
        await node.clock.sleep(STORAGE_INTERVAL)
        limited = [w for w in kubelet.workers() if w.is_active and not w.is_ending and storage.is_limited(w.pod) and not eviction.is_spared(w.pod)]
        if not limited:
            continue
        try:
            layers = _by_container(await node.runtime.stats(), "disk")
        except RuntimeFault as fault:
            log.warning("writable layers are not counted, as their size is unknown: %s", fault)
            layers = {}
        for worker in limited:
            if words := storage.excess(worker.pod, await _stored(kubelet, worker, layers)):
                node.recorder.event(worker.pod, "Warning", eviction.REASON, words)
                worker.end(eviction.REASON, words, 0)


async def follow_static_pods(kubelet: Kubelet, registrar: Registrar) -> None:
    """Run what the manifest directory says and mirror it, until cancelled."""
    node = kubelet.node
    directory = node.config.static_pod_dir
    if directory is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    with Notifier() as notifier:
        notifier.watch(str(directory), syscalls.IN_CLOSE_WRITE | syscalls.IN_MOVED_TO | syscalls.IN_MOVED_FROM | syscalls.IN_DELETE)
        while True:
            found = static_pods.read_directory(directory, node.config.node_name, node.clock.now())
            known = kubelet.static_pods()
            kubelet.set_static({uid: known.get(uid, pod) for uid, pod in found.items()})
            mirrored = await _mirror(kubelet, registrar)
            try:
                async with asyncio.timeout(None if mirrored else MIRROR_RETRY):
                    await notifier.changes()
            except TimeoutError:
                continue


async def _mirror(kubelet: Kubelet, registrar: Registrar) -> bool:
    """Bring the mirror pods in line with the static pods; whether all of it could be done."""
    client, mirrors, wanted = kubelet.node.client, kubelet.mirrors(), kubelet.static_pods()
    try:
        for uid, mirror in list(mirrors.items()):
            if uid not in wanted:
                await client.delete(PODS, namespace_of(mirror), name_of(mirror), uid=uid_of(mirror), grace_period=0)
        for uid, pod in wanted.items():
            if uid not in mirrors:
                await client.create(PODS, namespace_of(pod), static_pods.mirror(pod, registrar.node))
    except (ApiError, OSError) as error:
        if not (isinstance(error, ApiError) and error.code in (404, 409)):
            log.warning("static pods not mirrored: %s", error)
        return False
    return True


async def remove_leftovers(kubelet: Kubelet) -> None:
    """Directories and cgroups of pods that nobody knows, left by an agent that was killed."""
    node = kubelet.node
    known = {worker.uid for worker in kubelet.workers()}
    for uid in set(node.volumes.known()) - known:
        try:
            await node.volumes.remove(uid)
        except (VolumeFault, OSError) as error:
            log.warning("what pod %s left could not be removed: %s", uid, error)
    for uid in node.cgroups.pods() - known:
        await asyncio.to_thread(node.cgroups.remove_uid, uid)
