"""The kubeconfig file: read, merge as kubectl merges `$KUBECONFIG`, write, and make a client from a context.

The document is kept as received, so fields tiffin does not know survive a load and a save. Relative paths in a file are
relative to that file. Source: kubernetes.io, "Organizing Cluster Access Using kubeconfig Files".
"""
from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tiffin.client.http import HttpClient
from tiffin.machinery.object import dig
from tiffin.net.httpclient import Origin, Pool
from tiffin.net.tlsclient import client_context

FILE_FIELDS = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}


class KubeconfigError(Exception):
    """A kubeconfig that cannot be read or used; the text says which part and why."""


@dataclass
class Kubeconfig:
    """A kubeconfig document. `clusters`, `users` and `contexts` map names to what the file has under the name."""

    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)
    current_context: str = ""
    others: dict[str, Any] = field(default_factory=dict)
    """Top-level fields beside these, such as preferences."""

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Kubeconfig:
        rest = {k: v for k, v in document.items() if k not in ("apiVersion", "kind", "clusters", "users", "contexts", "current-context")}
        named = {plural: _by_name(document.get(plural), plural) for plural in ("clusters", "users", "contexts")}
        return cls(**named, current_context=document.get("current-context") or "", others=rest)

    def to_dict(self) -> dict[str, Any]:
        lists = {plural: [{"name": n, plural[:-1]: v} for n, v in getattr(self, plural).items()] for plural in ("clusters", "users", "contexts")}
        return {"apiVersion": "v1", "kind": "Config", **self.others, **lists, "current-context": self.current_context}


def _by_name(entries: Any, plural: str) -> dict[str, dict[str, Any]]:
    if not isinstance(entries, list | None):
        raise KubeconfigError(f"{plural} is not a list")
    result: dict[str, dict[str, Any]] = {}
    for entry in entries or []:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise KubeconfigError(f"an entry of {plural} has no name")
        value = entry.get(plural[:-1]) or {}
        if not isinstance(value, dict):
            raise KubeconfigError(f"{plural[:-1]} {entry['name']} is not a mapping")
        result.setdefault(entry["name"], value)
    return result


def paths() -> list[Path]:
    """The files kubectl would read: those of `$KUBECONFIG`, or the default one."""
    named = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return named or [Path.home() / ".kube" / "config"]


def load(files: Iterable[Path] | None = None) -> Kubeconfig:
    """The merged content of `files` (default: `paths()`); missing ones are skipped, the first to name a thing wins."""
    merged = Kubeconfig()
    for file in paths() if files is None else files:
        if file.exists():
            loaded = load_file(file)
            for plural in ("clusters", "users", "contexts"):
                setattr(merged, plural, getattr(loaded, plural) | getattr(merged, plural))
            merged.current_context = merged.current_context or loaded.current_context
            merged.others = loaded.others | merged.others
    return merged


def load_file(file: Path) -> Kubeconfig:
    """One file, with the paths in it made absolute; raises KubeconfigError."""
    import yaml

    try:
        document = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{file}: {error}") from error
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise KubeconfigError(f"{file}: not a kubeconfig document")
    config = Kubeconfig.from_dict(document)
    for entries, fields in ((config.clusters, FILE_FIELDS["cluster"]), (config.users, FILE_FIELDS["user"])):
        for entry in entries.values():
            entry.update({f: str(file.parent.absolute() / entry[f]) for f in fields if entry.get(f)})
    return config


def save(config: Kubeconfig, file: Path) -> None:
    """Writes the file in one step, readable by its owner only."""
    import yaml

    file.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config.to_dict(), sort_keys=False)
    new, path = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(new, "w") as stream:
            stream.write(text)
        os.replace(path, file)
    except BaseException:
        os.unlink(path)
        raise


def client_from_kubeconfig(config: Kubeconfig, context: str = "") -> HttpClient:
    """A client for `context`, or the current one; raises KubeconfigError where the file does not suffice."""
    name = context or config.current_context
    if name not in config.contexts:
        raise KubeconfigError(f'context "{name}" does not exist' if name else "no context is current")
    cluster = config.clusters.get(config.contexts[name].get("cluster") or "")
    if cluster is None or not cluster.get("server"):
        raise KubeconfigError(f'context "{name}" names no cluster with a server')
    user = config.users.get(config.contexts[name].get("user") or "") or {}
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError("credential plugins are not supported")
    server = urlsplit(cluster["server"])
    tls = _tls(cluster, user) if server.scheme == "https" else None
    origin = Origin(server.hostname or "", server.port or (443 if tls else 80), tls, server_name=cluster.get("tls-server-name") or "")
    return HttpClient(Pool(origin), token=_token(user), prefix=server.path, headers=_basic(user))


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> Any:
    skip = bool(cluster.get("insecure-skip-tls-verify"))
    return client_context(
        "" if skip else _pem(cluster, "certificate-authority"), _pem(user, "client-certificate"), _pem(user, "client-key"), verify=not skip
    )


def _pem(entry: dict[str, Any], name: str) -> str:
    """A field that is either inline as base64 (`name-data`) or the path of a file; "" when it is neither."""
    try:
        if data := entry.get(f"{name}-data"):
            return base64.b64decode(data, validate=True).decode()
        return Path(entry[name]).read_text() if entry.get(name) else ""
    except (OSError, binascii.Error, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{name}: {error}") from error


def _token(user: dict[str, Any]) -> Callable[[], str] | None:
    if file := user.get("tokenFile"):
        return lambda: Path(file).read_text().strip()
    token = dig(user, "token")
    return (lambda: token) if token else None


def _basic(user: dict[str, Any]) -> dict[str, str]:
    if not user.get("username"):
        return {}
    pair = f"{user['username']}:{user.get('password') or ''}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
