"""JSON patch (RFC 6902) with the habits of the library Kubernetes uses.

`replace` of a missing key adds it, `copy` from a missing key gives null, negative indices count from the end, and a path to
the whole document is refused. At most `MOST_OPERATIONS` operations; what `copy` makes is bounded in sum, and so is depth.
Inputs are not changed: each container is copied when first written to, and the result shares the rest.
Source: evanphx/json-patch v4 as answers of a reference server show it; CVE-2019-1002100.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from tiffin.machinery.jsoncodec import too_deep
from tiffin.machinery.object import Object
from tiffin.machinery.patch import Fault, PatchError

MOST_OPERATIONS = 10_000
MOST_COPIED = 3 * 1024 * 1024
"""Bytes that all `copy` operations of a patch may add together."""

_index = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII).fullmatch


def _called(value: Any) -> str:
    """What Go's decoder calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "string" if isinstance(value, str) else "number"


def apply_json_patch(obj: Object, patch: Any) -> Object:
    """The patched object; PatchError if the patch is malformed, does not fit the object, or asks for too much."""
    if patch is None:
        return obj
    if not isinstance(patch, list):
        raise PatchError(Fault.MALFORMED, f"json: cannot unmarshal {_called(patch)} into Go value of type jsonpatch.Patch")
    for operation in patch:
        if operation is not None and not isinstance(operation, dict):
            raise PatchError(Fault.MALFORMED, f"json: cannot unmarshal {_called(operation)} into Go value of type jsonpatch.Operation")
    if len(patch) > MOST_OPERATIONS:
        raise PatchError(Fault.TOO_LARGE, f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(patch)}")
    document = _Document(obj)
    for operation in patch:
        document.perform(operation or {})
    if too_deep(document.root):
        raise PatchError(Fault.INAPPLICABLE, "exceeded max depth")
    return document.root


def _refuse(message: str) -> PatchError:
    return PatchError(Fault.INAPPLICABLE, message)


class TestFailed(PatchError):
    """A `test` operation did not find what it expected."""


class _Document:
    """A document being patched. `own` holds the containers that were made here, by identity, and may be written to."""

    def __init__(self, root: Object) -> None:
        self.root = dict(root)
        self.own: dict[int, Any] = {id(self.root): self.root}
        self.copied = 0

    def perform(self, operation: Object) -> None:
        kind, path = operation.get("op"), operation.get("path")
        if not isinstance(path, str):
            raise _refuse(f"{kind} operation failed to decode path: missing value")
        if kind == "add":
            self._add(path, operation.get("value"))
        elif kind == "remove":
            with _within("remove", path):
                _remove(*self._locate(path, f'remove operation does not apply: doc is missing path: "{path}"'))
        elif kind == "replace":
            self._replace(path, operation.get("value"))
        elif kind == "move":
            source = _source(operation)
            container, key = self._locate(source, f"move operation does not apply: doc is missing from path: {source}")
            with _within("move", path):
                value = _get(container, key)
                _remove(container, key)
            self._add(path, value, "move")
        elif kind == "copy":
            source = _source(operation)
            container, key = self._locate(source, f"copy operation does not apply: doc is missing from path: {source}")
            with _within("copy", path):
                value = self._copy(_get(container, key))
            self._add(path, value, "copy")
        elif kind == "test":
            container, key = self._locate(path, f"test operation does not apply: is missing path: {path}")
            with _within("test", path):
                found = _get(container, key)
            _test(found, operation.get("value"), path)
        else:
            raise _refuse(f"Unexpected kind: {kind}")

    def _locate(self, path: str, missing: str) -> tuple[Any, str]:
        """The container that holds the end of a path, made ready for writing, and the last step; `missing` says there is none."""
        _, *steps = path.split("/")
        if not steps:
            raise _refuse(f"{missing}: missing value")
        node: Any = self.root
        for step in map(_unescaped, steps[:-1]):
            child = _child(node, step)
            if not isinstance(child, (dict, list)):
                raise _refuse(f"{missing}: missing value")
            if id(child) not in self.own:
                child = child.copy()
                self.own[id(child)] = child
                _set(node, step, child)
            node = child
        return node, _unescaped(steps[-1])

    def _replace(self, path: str, value: Any) -> None:
        container, key = self._locate(path, f"replace operation does not apply: doc is missing path: {path}")
        with _within("replace", path):
            _set(container, key, value)

    def _add(self, path: str, value: Any, operation: str = "add") -> None:
        missing = f'doc is missing path: "{path}"' if operation == "add" else f"doc is missing destination path: {path}"
        container, key = self._locate(path, f"{operation} operation does not apply: {missing}")
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            with _within(operation, path):
                container.insert(_position(key, len(container) + 1), value)

    def _copy(self, value: Any) -> Any:
        """A value apart from its source, because both places may be written to later."""
        packed = orjson.dumps(value)
        self.copied += len(packed)
        if self.copied > MOST_COPIED:
            raise _refuse(f"Unable to complete the copy, the accumulated size increase of copy is {self.copied}, exceeding the limit {MOST_COPIED}")
        return orjson.loads(packed)


@contextmanager
def _within(operation: str, path: str) -> Iterator[None]:
    """Tells where an operation has failed."""
    try:
        yield
    except PatchError as error:
        text = str(error)
        if " does not apply: " in text or "accumulated size" in text:
            raise
        raise _refuse(f"error in {operation} for path: '{path}': {text}") from None


def _source(operation: Object) -> str:
    path = operation.get("from")
    if not isinstance(path, str):
        raise _refuse(f"{operation.get('op')} operation failed to decode from: missing value")
    return path


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _position(key: str, length: int) -> int:
    if not _index(key) or not -length <= (position := int(key)) < length:
        raise _refuse(f"Unable to access invalid index: {key}: invalid index referenced")
    return position + length if position < 0 else position


def _get(container: Any, key: str) -> Any:
    """The value at a key, null where an object lacks it."""
    return container.get(key) if isinstance(container, dict) else container[_position(key, len(container))]


def _child(container: Any, key: str) -> Any:
    """The value on the way of a path; None where there is none."""
    if isinstance(container, dict):
        return container.get(key)
    return container[int(key)] if _index(key) and -len(container) <= int(key) < len(container) else None


def _set(container: Any, key: str, value: Any) -> None:
    container[key if isinstance(container, dict) else _position(key, len(container))] = value


def _remove(container: Any, key: str) -> None:
    if isinstance(container, dict):
        if key not in container:
            raise _refuse(f"Unable to remove nonexistent key: {key}: missing value")
        del container[key]
    else:
        del container[_position(key, len(container))]


def _test(found: Any, wanted: Any, path: str) -> None:
    """Equality of JSON: numbers are told from booleans, and by their notation."""
    if orjson.dumps(found, option=orjson.OPT_SORT_KEYS) != orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS):
        raise TestFailed(Fault.INAPPLICABLE, f"testing value {path} failed: test failed")
