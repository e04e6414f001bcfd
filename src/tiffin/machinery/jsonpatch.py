"""JSON patch (RFC 6902) with the habits of the library Kubernetes uses.

`replace` of a missing key adds it, `copy` from a missing key gives null, negative indices count from the end, and a path to
the whole document is refused. At most `MOST_OPERATIONS` operations; what `copy` makes is bounded in sum, and so is depth.
Inputs are not changed: each container is copied when first written to, and the result shares the rest.
Source: evanphx/json-patch v4 as answers of a reference server show it; CVE-2019-1002100.
"""
from __future__ import annotations

import re
from typing import Any

import orjson

from tiffin.machinery.jsoncodec import too_deep
from tiffin.machinery.object import Object
from tiffin.machinery.patch import Fault, PatchError

MOST_OPERATIONS = 10_000
MOST_COPIED = 3 * 1024 * 1024
"""Bytes that all `copy` operations of a patch may add together."""

_index = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII).fullmatch


def apply_json_patch(obj: Object, patch: Any) -> Object:
    """The patched object; PatchError if the patch is malformed, does not fit the object, or asks for too much."""
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise PatchError(Fault.MALFORMED, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(patch) > MOST_OPERATIONS:
        raise PatchError(Fault.TOO_LARGE, f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(patch)}")
    document = _Document(obj)
    for operation in patch:
        document.perform(operation)
    if too_deep(document.root):
        raise PatchError(Fault.INAPPLICABLE, "exceeded max depth")
    return document.root


def _refuse(message: str) -> PatchError:
    return PatchError(Fault.INAPPLICABLE, message)


class _Document:
    """A document being patched. `own` holds the containers that were made here, by identity, and may be written to."""

    def __init__(self, root: Object) -> None:
        self.root = dict(root)
        self.own: dict[int, Any] = {id(self.root): self.root}
        self.copied = 0

    def perform(self, operation: Object) -> None:
        kind, path = operation.get("op"), operation.get("path")
        if not isinstance(path, str):
            raise _refuse("missing or unreadable path")
        if kind == "add":
            self._add(path, operation.get("value"))
        elif kind == "remove":
            _remove(*self._locate(path))
        elif kind == "replace":
            _replace(*self._locate(path), operation.get("value"))
        elif kind == "move":
            container, key = self._locate(_source(operation))
            value = _get(container, key)
            _remove(container, key)
            self._add(path, value)
        elif kind == "copy":
            self._add(path, self._copy(_get(*self._locate(_source(operation)))))
        elif kind == "test":
            _test(_get(*self._locate(path)), operation.get("value"), path)
        else:
            raise _refuse(f"Unexpected kind: {kind}")

    def _locate(self, path: str) -> tuple[Any, str]:
        """The container that holds the end of a path, made ready for writing, and the last step."""
        _, *steps = path.split("/")
        if not steps:
            raise _refuse(f"doc is missing path: {path}")
        node: Any = self.root
        for step in map(_unescaped, steps[:-1]):
            child = _get(node, step)
            if not isinstance(child, (dict, list)):
                raise _refuse(f"doc is missing path: {path}")
            if id(child) not in self.own:
                child = child.copy()
                self.own[id(child)] = child
                _replace(node, step, child)
            node = child
        return node, _unescaped(steps[-1])

    def _add(self, path: str, value: Any) -> None:
        container, key = self._locate(path)
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            container.insert(_position(key, len(container) + 1), value)

    def _copy(self, value: Any) -> Any:
        """A value apart from its source, because both places may be written to later."""
        packed = orjson.dumps(value)
        self.copied += len(packed)
        if self.copied > MOST_COPIED:
            raise _refuse(f"Unable to complete the copy, the accumulated size increase of copy is {self.copied}, exceeding the limit {MOST_COPIED}")
        return orjson.loads(packed)


def _source(operation: Object) -> str:
    path = operation.get("from")
    if not isinstance(path, str):
        raise _refuse("missing or unreadable from path")
    return path


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _position(key: str, length: int) -> int:
    if not _index(key) or not -length <= (position := int(key)) < length:
        raise _refuse(f"Unable to access invalid index: {key}")
    return position + length if position < 0 else position


def _get(container: Any, key: str) -> Any:
    """The value at a key, null where an object lacks it."""
    return container.get(key) if isinstance(container, dict) else container[_position(key, len(container))]


def _replace(container: Any, key: str, value: Any) -> None:
    container[key if isinstance(container, dict) else _position(key, len(container))] = value


def _remove(container: Any, key: str) -> None:
    if isinstance(container, dict):
        if key not in container:
            raise _refuse(f"Unable to remove nonexistent key: {key}")
        del container[key]
    else:
        del container[_position(key, len(container))]


def _test(found: Any, wanted: Any, path: str) -> None:
    """Equality of JSON: numbers are told from booleans, and by their notation."""
    if orjson.dumps(found, option=orjson.OPT_SORT_KEYS) != orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS):
        raise _refuse(f"testing value {path} failed")
