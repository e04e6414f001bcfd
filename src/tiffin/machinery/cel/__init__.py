"""The Common Expression Language, as Kubernetes v1.36 speaks it.

    environment = Environment({"self": schema_type(schema, root=True)})
    program = environment.compile("self.spec.min <= self.spec.max")      # CompilationError, worded as cel-go does
    program.type                                                         # types.BOOL
    environment.estimate(program).most                                   # the worst case, of 10,000,000 that one rule may cost
    program.evaluate({"self": resource}, budget)                         # EvaluationError, CostExceeded

Text becomes a tree (`lexer`, `parser`, `macros`), the checker resolves names and types (`checker`, `unify`), the compiler makes closures
(`compiler`, `loops`). Compilation costs some 50 microseconds, evaluation of a small rule about one: keep programs, not texts. Programs and
environments are immutable and may be shared.

Values are JSON as it came (`values` says what is wrapped, and `json_of` unwraps it), read where an expression looks and no further.
What an expression may cost is bounded twice: estimated from types before it is accepted (`estimate`), counted while it runs (`budget`).
Regular expressions are RE2's. Nothing here reads a clock, a file or a socket; `library/authz.py` asks through a port.
"""
from __future__ import annotations

from tiffin.machinery.cel.budget import Budget
from tiffin.machinery.cel.environment import Environment, Program
from tiffin.machinery.cel.errors import CelError, CompilationError, CostExceeded, EvaluationError
from tiffin.machinery.cel.schematypes import schema_type
from tiffin.machinery.cel.times import json_of
from tiffin.machinery.cel.types import Type

__all__ = ["Budget", "CelError", "CompilationError", "CostExceeded", "Environment", "EvaluationError", "Program", "Type", "json_of", "schema_type"]
