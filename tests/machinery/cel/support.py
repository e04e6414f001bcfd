"""What the tests of CEL share."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.machinery.cel import Budget, Environment
from tiffin.machinery.cel.budget import PER_REQUEST
from tiffin.machinery.cel.types import DYN, Type, list_of, map_of
from tiffin.machinery.cel.types import INT as INT
from tiffin.machinery.cel.types import STRING as STRING

VARIABLES: dict[str, Type] = {"x": DYN, "y": DYN, "n": INT, "s": STRING, "ns": list_of(INT), "words": list_of(STRING), "m": map_of(STRING, INT)}
VALUES: dict[str, Any] = {"x": {"a": {"b": 1}, "list": [1, 2], "none": None}, "y": None, "n": 7, "s": "héllo", "ns": [3, 1, 2],
                          "words": ["b", "a"], "m": {"k": 1, "l": 2}}
ENVIRONMENT = Environment(VARIABLES)


def run(expression: str, values: Mapping[str, Any] = VALUES, environment: Environment = ENVIRONMENT) -> Any:
    """The value of an expression."""
    return environment.compile(expression).evaluate(values, Budget())


def cost(expression: str, values: Mapping[str, Any], environment: Environment) -> int:
    """What one evaluation costs."""
    budget = Budget()
    environment.compile(expression).evaluate(values, budget)
    return PER_REQUEST - budget.remaining
