"""The kubeconfig that `tiffin up` gives to kubectl, and its place among what is there already.

Only the cluster, user and context that bear this cluster's name are written; everything else in the file, known to us or not, is
kept. The current context is set when there is none that works, and otherwise left: nobody's `kubectl delete` goes to another cluster
because tiffin came up.
"""
from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from tiffin.cluster.state import write_atomically


class UnreadableKubeconfig(Exception):
    """The file is there but is no kubeconfig; it is left alone."""


def document(context: str, server: str, ca: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """A kubeconfig for one cluster, with everything in it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": _encoded(ca)}}],
        "users": [{"name": context, "user": {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }


def default_file() -> Path:
    """Where kubectl would write: the first file `$KUBECONFIG` names that exists, or its first, or `~/.kube/config`."""
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if not named:
        return Path.home() / ".kube" / "config"
    return next((path for path in named if path.exists()), named[0])


def merge(file: Path, ours: dict[str, Any]) -> bool:
    """Puts our entries into the file and answers whether ours is its current context. Raises `UnreadableKubeconfig`."""
    theirs = _read(file)
    for entries in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in ours[entries]}
        theirs[entries] = [entry for entry in theirs.get(entries) or [] if entry.get("name") not in names] + ours[entries]
    if theirs.get("current-context") not in {entry.get("name") for entry in theirs["contexts"]}:
        theirs["current-context"] = ours["current-context"]
    _write(file, theirs)
    return bool(theirs["current-context"] == ours["current-context"])


def remove(file: Path, context: str) -> None:
    """Takes our entries out again."""
    if not file.exists():
        return
    theirs = _read(file)
    if not any(entry.get("name") == context for entry in theirs.get("contexts") or []):
        return
    for entries in ("clusters", "users", "contexts"):
        theirs[entries] = [entry for entry in theirs.get(entries) or [] if entry.get("name") != context]
    if theirs.get("current-context") == context:
        theirs["current-context"] = ""
    _write(file, theirs)


def dump(config: dict[str, Any]) -> str:
    """As YAML."""
    import yaml

    return yaml.dump(config, sort_keys=False, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


def _read(file: Path) -> dict[str, Any]:
    import yaml

    if not file.exists():
        return {"apiVersion": "v1", "kind": "Config"}
    try:
        config = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, OSError) as error:
        raise UnreadableKubeconfig(f"{file} cannot be read: {error}") from error
    if config is None:
        return {"apiVersion": "v1", "kind": "Config"}
    named = ("clusters", "users", "contexts")
    if not isinstance(config, dict) or not all(isinstance(entry, dict) for key in named for entry in config.get(key) or []):
        raise UnreadableKubeconfig(f"{file} is not a kubeconfig")
    return config


def _write(file: Path, config: dict[str, Any]) -> None:
    target = file.resolve()
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_atomically(target, dump(config).encode(), mode=0o600)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
