"""Expressions of admission webhooks and policies: what they may speak of, and what they must evaluate to.

`object` and `oldObject` are of any shape; `request` and `namespaceObject` have declared fields; `params` is there for policies with a
kind of parameters; `variables` has one field for each variable declared before, with the type that variable has.
Source: k8s.io/apiserver/pkg/admission/plugin/cel; Kubernetes documentation "Validating Admission Policy", "Mutating Admission Policy".
"""
from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tiffin.machinery.cel import CompilationError, Environment, Program, Type, schema_type
from tiffin.machinery.cel.library.authz import AUTHORIZER, RESOURCE_CHECK
from tiffin.machinery.cel.library.mutation import JSON_PATCHES, MUTATION, OBJECT
from tiffin.machinery.cel.types import BOOL, DYN, NULL, STRING, Field, Fields, list_of, map_of, struct
from tiffin.machinery.field import FieldError, invalid

_KIND = struct("kubernetes.GroupVersionKind", {"group": STRING, "version": STRING, "kind": STRING})
_RESOURCE = struct("kubernetes.GroupVersionResource", {"group": STRING, "version": STRING, "resource": STRING})
_USER = struct("kubernetes.UserInfo", {
    "username": STRING, "uid": STRING, "groups": list_of(STRING), "extra": map_of(STRING, list_of(STRING))})
REQUEST = struct("kubernetes.AdmissionRequest", {
    "kind": _KIND, "resource": _RESOURCE, "subResource": STRING, "requestKind": _KIND, "requestResource": _RESOURCE,
    "requestSubResource": STRING, "name": STRING, "namespace": STRING, "operation": STRING, "userInfo": _USER, "dryRun": BOOL, "options": DYN})
_text: dict[str, Any] = {"type": "string"}
_time: dict[str, Any] = {"type": "string", "format": "date-time"}
_texts, _labels = {"type": "array", "items": _text}, {"type": "object", "additionalProperties": _text}
_condition = {"type": "object", "properties": {"status": _text, "type": _text, "lastTransitionTime": _time, "message": _text, "reason": _text}}


def _namespace() -> Type:
    """What of its namespace an expression sees."""
    metadata = {
        "name": _text, "generateName": _text, "namespace": _text, "labels": _labels, "annotations": _labels, "UID": _text,
        "creationTimestamp": _time, "deletionGracePeriodSeconds": {"type": "integer"}, "deletionTimestamp": _time,
        "generation": {"type": "integer"}, "resourceVersion": _text, "finalizers": _texts}
    parts = {
        "metadata": {"type": "object", "properties": metadata},
        "spec": {"type": "object", "properties": {"finalizers": _texts}},
        "status": {"type": "object", "properties": {"phase": _text, "conditions": {"type": "array", "items": _condition}}}}
    found = schema_type({"type": "object", "properties": parts}, "kubernetes.Namespace")
    assert found is not None
    return found


NAMESPACE = _namespace()
CONDITION, MESSAGE, ANNOTATION = (BOOL,), (STRING,), (STRING, NULL)
"""What conditions, messages and audit annotations evaluate to."""


class WrongResult(CompilationError):
    """The expression compiles, but evaluates to something else than it has to."""


@lru_cache(maxsize=64)
def environment(params: bool, authorizer: bool = True) -> Environment:
    """What an expression may speak of, beside the variables of its policy."""
    known = {"object": DYN, "oldObject": DYN, "request": REQUEST, "namespaceObject": NAMESPACE}
    if params:
        known["params"] = DYN
    if authorizer:
        known |= {"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK}
    return Environment(known)


class Scope:
    """The expressions of one policy: what they may speak of grows by one variable after another.

    `typed` are the types of `object`, `oldObject` and `params` where they are known, for checking; to evaluate, any shape is taken.
    """

    def __init__(self, params: bool, typed: Mapping[str, Type] | None = None) -> None:
        self._params, self._typed = params, dict(typed or {})
        self._fields: dict[str, Type] | None = None
        """Of the variables so far; None for a policy without any, where nothing is called `variables`."""

    def declare(self, name: str, type_: Type) -> None:
        """Adds a variable."""
        self._fields = {**(self._fields or {}), name: type_}

    def _environment(self, authorizer: bool) -> Environment:
        more = dict(self._typed)
        if self._fields is not None:
            more["variables"] = struct("kubernetes.variables", Fields({n: Field(t, n) for n, t in self._fields.items()}))
        base = environment(self._params, authorizer)
        return base.extended(more) if more else base

    def compile(self, text: str, results: tuple[Type, ...] | None, authorizer: bool = True) -> Program:
        """A program that evaluates to one of `results` (None: to anything). Raises CompilationError."""
        return compiled(self._environment(authorizer), text, results)

    def variable(self, name: str, text: str) -> Program:
        """Compiles a variable and declares it; one that does not compile is declared as dyn."""
        self._fields = self._fields or {}
        try:
            program = self.compile(text, None)
        except CompilationError:
            self.declare(name, DYN)
            raise
        self.declare(name, program.type)
        return program

    def mutation(self, patch_type: str, text: str) -> Program:
        """The expression of a mutation: an ApplyConfiguration or a JSONPatch."""
        return compiled(self._environment(True).extended({}, (MUTATION,)), text, (OBJECT if patch_type == "ApplyConfiguration" else JSON_PATCHES,))


def compiled(where: Environment, text: str, results: tuple[Type, ...] | None) -> Program:
    """A program whose value has one of the types. Raises CompilationError."""
    program = where.compile(text)
    if results is not None and program.type not in results:
        wanted = str(results[0]) if len(results) == 1 else f"one of [{' '.join(map(str, results))}]"
        raise WrongResult(f"must evaluate to {wanted} but got {program.type}")
    return program


def violation(error: CompilationError, text: str, path: str) -> FieldError:
    """The error as a violation of the field that holds the expression."""
    return invalid(path, text, str(error) if isinstance(error, WrongResult) else f"compilation failed: {error}")
