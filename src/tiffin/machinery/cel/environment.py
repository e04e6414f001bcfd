"""Compile once, evaluate often.

An `Environment` says what expressions may speak of; it is immutable, `extended` makes another. A `Program` is a compiled expression:
its `type`, and `evaluate`.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiffin.machinery.cel.ast import Ident, Node, Select, walk
from tiffin.machinery.cel.budget import PER_CALL, Budget
from tiffin.machinery.cel.checker import Checker
from tiffin.machinery.cel.compiler import Compiler
from tiffin.machinery.cel.errors import CompilationError, CostExceeded, EvaluationError, Source
from tiffin.machinery.cel.estimate import Range, estimate
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.library import kubernetes, merged
from tiffin.machinery.cel.loops import UNSET
from tiffin.machinery.cel.parser import MAX_DEPTH, parse
from tiffin.machinery.cel.types import Type


class Program:
    """A compiled expression. `type` is the type of its value, `variables` are the names it uses."""

    __slots__ = ("_adapters", "_code", "_cost", "_padding", "source", "type", "variables")

    def __init__(self, source: str, root: Node, declared: Mapping[str, Type]) -> None:
        self.source, self.type = source, root.type
        self.variables = tuple(sorted({name for node in walk(root) if (name := _free_name(node)) in declared}))
        self._code, self._cost, places = Compiler().compile(root, self.variables)
        self._padding: list[Any] = [None] * (places - 1 - len(self.variables))
        self._adapters = tuple((name, declared[name].adapt) for name in self.variables)

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget) -> Any:
        """The value of the expression.

        `bindings` are JSON values by variable name; names the expression does not use may be missing. What the call costs is taken
        from the budget, also when it fails. Raises EvaluationError, and CostExceeded when this one call costs too much.
        """
        frame: list[Any] = [PER_CALL - self._cost]
        for name, adapt in self._adapters:
            value = bindings.get(name, UNSET)
            frame.append(value if adapt is None or value is None or value is UNSET else adapt(value))
        frame += self._padding
        try:
            value = self._code(frame)
            if frame[0] < 0:
                raise CostExceeded
            return value
        except RecursionError:  # data may be nested deeper than expressions
            raise EvaluationError("value is nested too deeply") from None
        finally:
            budget.remaining -= PER_CALL - frame[0]


def _free_name(node: Node) -> str:
    if isinstance(node, Ident):
        return node.name
    return node.resolved if isinstance(node, Select) else ""


class Environment:
    """Variables, types and functions of expressions."""

    def __init__(self, variables: Mapping[str, Type], libraries: tuple[Library, ...] | None = None, bindings: bool = False) -> None:
        """`libraries` are those of Kubernetes v1.36 unless given. The name of a variable may have dots. `bindings` adds `cel.bind`."""
        self._bindings = bindings
        self._variables = dict(variables)
        self._libraries = kubernetes() if libraries is None else libraries
        self._types, self._functions = merged(self._libraries)

    def extended(self, variables: Mapping[str, Type], libraries: Iterable[Library] = ()) -> Environment:
        """This environment with more variables, and the functions and types of more libraries."""
        more = tuple(libraries)
        return Environment(self._variables | dict(variables), self._libraries + more, self._bindings)

    def estimate(self, program: Program) -> Range:
        """The least and the most a program can cost, by the types of this environment's variables.

        The tree is made anew: estimates are asked for once, and programs are kept for long.
        """
        return estimate(self._checked(program.source), self._variables)

    def compile(self, text: str) -> Program:
        """A program. Raises CompilationError with one report per fault."""
        try:
            return Program(text, self._checked(text), self._variables)
        except RecursionError:
            raise CompilationError(f"ERROR: <input>:-1:0: expression recursion limit exceeded: {MAX_DEPTH}") from None

    def _checked(self, text: str) -> Node:
        source = Source(text)
        root = parse(source, self._bindings)
        reports = Checker(self._variables, self._types, self._functions).check(root)
        if reports:
            raise source.failure(reports)
        return root
