"""Functions: what may be called with which types, and what it does.

A function has overloads; each has a signature, written as in "string.(int, list(A)) -> optional(A)" (one capital letter is a type
parameter; what stands before the dot is the target of a method). `call` takes the arguments, target first, and raises EvaluationError.
Macros and short-circuit operators have a signature only: they compile to code of their own.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    optional_of,
    param,
    type_of,
)
from tiffin.machinery.cel.values import kind_of, type_name

Implementation = Callable[..., Any]

_NAMED = {"bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES, "dyn": DYN, "null": NULL,
          "timestamp": TIMESTAMP, "duration": DURATION}
_words = re.compile(r"[A-Za-z_][\w.]*\w|[A-Za-z_]|->|[().,]").findall


class Overload(NamedTuple):
    """One signature of a function. `generic` holds the names of its type parameters."""

    id: str
    member: bool
    params: tuple[Type, ...]
    result: Type
    generic: tuple[str, ...]
    call: Implementation

    def takes(self, values: tuple[Any, ...]) -> bool:
        """Whether run-time values fit; what lists and maps contain is not looked at."""
        return len(values) == len(self.params) and all(map(_fits, self.params, values))


class Function:
    """A name and its overloads, in the order they are tried."""

    __slots__ = ("name", "overloads")

    def __init__(self, name: str, overloads: Iterable[Overload]) -> None:
        self.name, self.overloads = name, list(overloads)


class Library:
    """Functions and the types they speak of, declared together."""

    def __init__(self, types: Iterable[Type] = ()) -> None:
        self.types = {type_.name: type_ for type_ in types}
        self.functions: dict[str, Function] = {}
        self._names = _NAMED | self.types

    def add(self, name: str, id_: str, signature: str, call: Implementation) -> None:
        """Declare one overload; `id_` is the name cost tables know it by."""
        function = self.functions.setdefault(name, Function(name, ()))
        function.overloads.append(_overload(id_, signature, call, self._names))


def _overload(id_: str, signature: str, call: Implementation, names: dict[str, Type]) -> Overload:
    words = _words(signature)[::-1]
    generic: set[str] = set()

    def type_() -> Type:
        word = words.pop()
        if word in ("list", "map", "optional", "type"):
            make: Any = {"list": list_of, "map": map_of, "optional": optional_of, "type": type_of}[word]
            return make(*several())
        if len(word) == 1:
            generic.add(word)
            return param(word)
        return names[word]

    def several() -> list[Type]:
        found = []
        words.pop()
        while words[-1] != ")":
            found.append(type_())
            if words[-1] == ",":
                words.pop()
        words.pop()
        return found

    target = []
    if words[-1] != "(":
        target.append(type_())
        words.pop()
    params = several()
    words.pop()
    result = type_()
    return Overload(id_, bool(target), (*target, *params), result, tuple(sorted(generic)), call)


def _fits(type_: Type, value: Any) -> bool:
    if type_.kind in ("dyn", "param"):
        return True
    actual = kind_of(value)
    return actual.kind == type_.kind and (actual.name == type_.name or type_.kind == "type")


def no_overload(name: str, values: Iterable[Any]) -> EvaluationError:
    """A function nobody declared for values like these."""
    return EvaluationError(f"no such overload: {name}({', '.join(map(type_name, values))})")


def choose(name: str, overloads: Iterable[Overload], values: tuple[Any, ...]) -> Implementation:
    """The first overload that takes the values. Raises EvaluationError."""
    for overload in overloads:
        if overload.takes(values):
            return overload.call
    raise no_overload(name, values)
