"""Static pods: pods from files in a directory, run whether or not the API server can be reached, and mirrored into the API.

A file that cannot be read as a pod is reported and left alone. UID and names follow from the file, so they are the same after a
restart. Source: the kubelet's file source and mirror pods.
"""
from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from tiffin.machinery.object import Object, annotations_of, dig, uid_of
from tiffin.machinery.timestamps import format_time

log = logging.getLogger(__name__)

MIRROR = "kubernetes.io/config.mirror"
HASH, SOURCE, SEEN = "kubernetes.io/config.hash", "kubernetes.io/config.source", "kubernetes.io/config.seen"
SUFFIXES = (".yaml", ".yml", ".json")


def is_mirror(pod: Object) -> bool:
    return MIRROR in annotations_of(pod)


def mirror_of(mirror: Object) -> str:
    """The UID of the static pod that a mirror shows."""
    return annotations_of(mirror)[MIRROR]


def read_directory(directory: Path, node_name: str, now: datetime) -> dict[str, Object]:
    """The static pods of a directory by UID."""
    pods: dict[str, Object] = {}
    if not directory.is_dir():
        return pods
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.suffix not in SUFFIXES or not path.is_file():
            continue
        try:
            for manifest in _manifests(path):
                pod = static_pod(manifest, path, node_name, now)
                pods[uid_of(pod)] = pod
        except (ValueError, OSError) as error:
            log.warning("static pod %s: %s", path, error)
    return pods


def _manifests(path: Path) -> Iterator[Mapping[str, Any]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = list(yaml.load_all(path.read_text(), loader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict) or document.get("kind") != "Pod" or not dig(document, "spec", "containers"):
            raise ValueError("not a Pod")
        yield document


def static_pod(manifest: Mapping[str, Any], path: Path, node_name: str, now: datetime) -> Object:
    """A manifest as the pod that runs, with the defaults the API server would have given it. Raises ValueError."""
    given = manifest.get("metadata") or {}
    if not given.get("name"):
        raise ValueError("a pod without a name")
    digest = hashlib.md5(orjson.dumps([manifest, str(path), node_name], option=orjson.OPT_SORT_KEYS), usedforsecurity=False).hexdigest()
    metadata = {
        "name": f"{given['name']}-{node_name}".lower(), "namespace": given.get("namespace") or "default", "uid": digest,
        "labels": given.get("labels") or {},
        "annotations": (given.get("annotations") or {}) | {HASH: digest, SOURCE: "file", SEEN: format_time(now)},
    }
    spec: Object = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "enableServiceLinks": True}
    spec |= dict(manifest["spec"]) | {"nodeName": node_name}
    tolerations = [*(spec.get("tolerations") or ()), {"operator": "Exists", "effect": "NoExecute"}]
    spec |= {"tolerations": tolerations, "containers": [_defaulted(c) for c in spec["containers"]]}
    if spec.get("initContainers"):
        spec["initContainers"] = [_defaulted(c) for c in spec["initContainers"]]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def _defaulted(container: Mapping[str, Any]) -> Object:
    if not container.get("name") or not container.get("image"):
        raise ValueError("a container without name or image")
    latest = ":" not in container["image"].rpartition("/")[2] or container["image"].endswith(":latest")
    defaults = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "Always" if latest else "IfNotPresent"}
    return defaults | dict(container)


def mirror(pod: Object, node: Object) -> Object:
    """The pod to create in the API for a static pod."""
    annotations = dict(annotations_of(pod)) | {MIRROR: uid_of(pod)}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"], "controller": True}
    metadata = {k: v for k, v in pod["metadata"].items() if k != "uid"} | {"annotations": annotations, "ownerReferences": [owner]}
    return pod | {"metadata": metadata, "status": {}}
