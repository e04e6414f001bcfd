"""Where a custom resource keeps its replicas: the paths of its scale subresource.

Source: CRD docs, "Scale subresource".
"""
from __future__ import annotations

from typing import Any, NamedTuple

from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object, meta, replaced

LARGEST = 2**31 - 1
_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64", dict: "map[string]interface {}", list: "[]interface {}"}


class PathProblem(ValueError):
    """A value on the way, or at the end, is of another type."""


class ScalePaths(NamedTuple):
    """The paths as they were written, with their leading dot; no selector is "."""

    spec: str
    status: str
    selector: str

    @classmethod
    def of(cls, subresources: dict[str, Any]) -> ScalePaths | None:
        """The paths that a version declares, if it has a scale."""
        scale = subresources.get("scale")
        if scale is None:
            return None
        return cls(scale.get("specReplicasPath") or "", scale.get("statusReplicasPath") or "", scale.get("labelSelectorPath") or "")

    @property
    def replicas(self) -> tuple[str, ...]:
        """The path of the wanted replicas as field names."""
        return _parts(self.spec)

    def scale_of(self, obj: Object) -> Object:
        """The Scale of an object; raises PathProblem when its replicas are not where the paths say."""
        wanted, actual = _number(obj, self.spec), _number(obj, self.status)
        if wanted is None:
            raise PathProblem(f'the spec replicas field "{self.spec}" does not exist')
        status: dict[str, Any] = {"replicas": actual or 0}
        if self.selector and (text := _look(obj, self.selector, str)):
            status["selector"] = text
        metadata = {field: meta(obj)[field] for field in _METADATA if meta(obj).get(field)}
        spec = {"replicas": wanted} if wanted else {}
        return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}

    def apply(self, obj: Object, scale: Object) -> Object:
        """The object with the replicas of a Scale."""
        return replaced(obj, self.replicas, (scale.get("spec") or {}).get("replicas", 0))

    def spec_violations(self, obj: Object) -> list[FieldError]:
        return _violations(obj, self.spec)

    def status_violations(self, obj: Object) -> list[FieldError]:
        errors = _violations(obj, self.status)
        if self.selector:
            try:
                _look(obj, self.selector, str)
            except PathProblem as problem:
                errors.append(invalid(self.selector, "", str(problem)))
        return errors


def _violations(obj: Object, path: str) -> list[FieldError]:
    try:
        value = _number(obj, path) or 0
    except PathProblem as problem:
        return [invalid(path, 0, str(problem))]
    if value < 0:
        return [invalid(path, value, "should be a non-negative integer")]
    return [invalid(path, value, f"should be less than or equal to {LARGEST}")] if value > LARGEST else []


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(".").split("."))


def _number(obj: Object, path: str) -> int | None:
    found: int | None = _look(obj, path, int)
    return found


def _look(obj: Any, path: str, wanted: type) -> Any:
    """The value at a path, None where it ends early."""
    parts = _parts(path)
    for index, part in enumerate(parts):
        if not isinstance(obj, dict):
            raise PathProblem(_mismatch(parts[:index], obj, "map[string]interface {}"))
        if part not in obj:
            return None
        obj = obj[part]
    if obj.__class__ is not wanted:
        raise PathProblem(_mismatch(parts, obj, "int64" if wanted is int else "string"))
    return obj


def _mismatch(parts: tuple[str, ...], value: Any, wanted: str) -> str:
    shown = "<nil>" if value is None else value
    return f".{'.'.join(parts)} accessor error: {shown} is of the type {_GO_TYPES.get(value.__class__, '<nil>')}, expected {wanted}"
