"""One MutatingAdmissionPolicy compiled, and what its mutations make of an object. Loaded when there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from tiffin.api.admissionregistration.expressions import Scope
from tiffin.apiserver.admission.evaluation import Bindings, Conditions, Failed, Variables, evaluated
from tiffin.apiserver.admission.views import View, decode, type_of
from tiffin.machinery.cel import Budget, CelError, Program, json_of
from tiffin.machinery.cel.library.mutation import misnamed
from tiffin.machinery.decode import DecodeError
from tiffin.machinery.jsonpatch import TestFailed, apply_json_patch
from tiffin.machinery.object import Object
from tiffin.machinery.patch import PatchError
from tiffin.machinery.schema import List, Map, Struct, Type
from tiffin.machinery.typed import TypedError, child_type, merge

_FIELDS = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


class MutatingProgram:
    """Raises CompilationError where the spec does not compile."""

    def __init__(self, spec: Object) -> None:
        params = spec.get("paramKind") is not None
        self._conditions = Conditions(spec.get("matchConditions") or (), spec.get("failurePolicy") != "Ignore", params)
        scope = Scope(params)
        self._variables = Variables(spec.get("variables") or (), scope)
        self._mutations = [(m["patchType"], scope.mutation(m["patchType"], m[_FIELDS[m["patchType"]]]["expression"])) for m in spec["mutations"]]

    def mutated(self, seen: View, bindings: Callable[[View], Bindings]) -> tuple[Object | None, list[str]]:
        """The object after all mutations, None if it stays as it is, and what went wrong on the way."""
        assert seen.obj is not None
        try:
            if not self._conditions.hold(bindings(seen)):
                return None, []
        except Failed as failed:
            return None, [str(failed)]
        now, problems = seen.obj, list[str]()
        for patch_type, program in self._mutations:
            try:
                now = self._after(patch_type, program, bindings(seen._replace(obj=now)), seen._replace(obj=now))
            except Failed as failed:
                problems.append(str(failed))
        return (now if now != seen.obj else None), problems

    def _after(self, patch_type: str, program: Program, bindings: Bindings, seen: View) -> Object:
        """The object after one mutation, a copy of its own; raises Failed."""
        obj = seen.obj or {}
        budget = Budget()
        made = evaluated(program, self._variables.added(bindings, budget), budget)
        try:
            change = json_of(made)
        except CelError as error:
            raise Failed(f"expression '{program.source}' resulted in error: {error}") from error
        if patch_type != "JSONPatch" and (wrong := misnamed(made)):
            raise Failed("type mismatch: " + "\n".join(wrong))
        changed = _patched(obj, change) if patch_type == "JSONPatch" else _applied(obj, change, type_of(seen))
        changed = orjson.loads(orjson.dumps(changed))
        try:
            decode(seen, changed)
        except DecodeError as error:
            raise Failed(str(error)) from error
        return changed  # type: ignore[no-any-return]


def _patched(obj: Object, operations: list[Any]) -> Object:
    """The object after a JSON patch; one whose test fails changes nothing."""
    try:
        return apply_json_patch(obj, operations)
    except TestFailed:
        return obj
    except PatchError as error:
        raise Failed(f"JSON Patch: {error}") from error


def _applied(obj: Object, configuration: Object, type_: Type) -> Object:
    """The object with a configuration merged into it, as server-side apply merges."""
    atomic = list(_atomics(type_, configuration, ""))
    if atomic:
        raise Failed(f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {', '.join(atomic)}")
    try:
        return merge(type_, obj, configuration)  # type: ignore[no-any-return]
    except (TypedError, ValueError) as error:
        raise Failed(f"failed to merge patch: {error}") from error


def _atomics(type_: Type, value: Any, path: str) -> Iterator[str]:
    """Paths of what a configuration says about values that can only be replaced as a whole."""
    if value is None:
        return
    if isinstance(type_, List):
        if type_.list_type == "atomic":
            yield path
        elif type_.list_type == "map":
            for item in value if isinstance(value, list) else ():
                yield from _atomics(type_.items, item, f"{path}[]")
    elif isinstance(type_, Struct | Map):
        if type_.atomic:
            yield path
        else:
            for name, item in value.items() if isinstance(value, dict) else ():
                yield from _atomics(child_type(type_, name), item, f"{path}.{name}")
