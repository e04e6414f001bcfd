"""Compiling the CEL rules of a definition, and what they may cost: each by itself, and all of a schema together.

A rule is charged its estimated cost times the most values that a request can hold at its place: the product of the limits of the
lists and maps around it, or what fits into a request where one has no limit. Source: KEP-2876; CRD docs, "Resource use by validation
functions".
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.cel.environment import Environment, Program
from tiffin.machinery.cel.errors import CompilationError
from tiffin.machinery.cel.estimate import PER_DEFINITION, PER_EXPRESSION, UNBOUNDED
from tiffin.machinery.cel.schematypes import max_cardinality, schema_type
from tiffin.machinery.field import FieldError, forbidden, invalid
from tiffin.machinery.structural.rules import rule_environment

Schema = dict[str, Any]
MOST_EXPENSIVE = 4
CONTRIBUTED = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
_ADVICE = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"


class _Total:
    """What all rules of a schema cost together, and those that cost most."""

    def __init__(self) -> None:
        self.cost = 0
        self.highest: list[tuple[int, str]] = []

    def add(self, path: str, cost: int) -> None:
        self.cost = min(self.cost + cost, UNBOUNDED)
        self.highest = sorted([*self.highest, (cost, path)], key=lambda each: -each[0])[:MOST_EXPENSIVE]


class Costs:
    """The costs at one node; `cardinality` is how many values it can have, None where nothing limits them."""

    def __init__(self, total: _Total, cardinality: int | None, resource: bool) -> None:
        self._total, self._cardinality, self._resource = total, cardinality, resource

    @classmethod
    def root(cls, schema: Schema) -> Costs:
        return cls(_Total(), 1, True)

    def field(self, schema: Schema, key: str) -> Costs:
        """At a field: it is there as often as the object it belongs to."""
        return Costs(self._total, self._cardinality, bool(schema["properties"][key].get("x-kubernetes-embedded-resource")))

    def values(self, schema: Schema) -> Costs:
        return self._many(schema["additionalProperties"], schema.get("maxProperties"))

    def items(self, schema: Schema) -> Costs:
        return self._many(schema["items"], schema.get("maxItems"))

    def _many(self, schema: Any, limit: int | None) -> Costs:
        cardinality = None if limit is None or self._cardinality is None else min(self._cardinality * limit, UNBOUNDED)
        return Costs(self._total, cardinality, isinstance(schema, dict) and bool(schema.get("x-kubernetes-embedded-resource")))

    def rule_errors(self, schema: Schema, path: str, uncorrelated: str) -> list[FieldError]:
        """What is wrong with the rules of a node, none of whose keywords is; `uncorrelated` is where old values end."""
        self_type = schema_type(schema, root=self._resource)
        if self_type is None:
            return []
        cardinality = max_cardinality(self_type) if self._cardinality is None else self._cardinality
        errors: list[FieldError] = []
        for index, rule in enumerate(schema["x-kubernetes-validations"]):
            environment = rule_environment(self_type, bool(rule.get("optionalOldSelf")))
            errors += self._one_rule(rule, f"{path}.x-kubernetes-validations[{index}]", environment, cardinality, uncorrelated)
        return errors

    def _one_rule(self, rule: Schema, here: str, environment: Environment, cardinality: int, uncorrelated: str) -> list[FieldError]:
        errors: list[FieldError] = []
        program, wrong = _compiled(environment, rule["rule"], "bool", "cel expression must evaluate to a bool")
        cost = 0 if program is None else min(environment.estimate(program).most * cardinality, UNBOUNDED)
        if cost > PER_EXPRESSION:
            errors.append(forbidden(f"{here}.rule", too_costly("estimated rule cost", cost, PER_EXPRESSION)))
        self._total.add(f"{here}.rule", cost)
        if wrong:
            errors.append(invalid(f"{here}.rule", _shown(rule), wrong))
        if not wrong and (rule.get("messageExpression") or "").strip():
            errors += self._message_errors(rule, here, environment)
        uses_old = program is not None and "oldSelf" in program.variables
        if uses_old and uncorrelated:
            words = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            errors.append(invalid(f"{here}.rule", rule["rule"], words))
        if not uses_old and rule.get("optionalOldSelf") is not None:
            errors.append(invalid(f"{here}.optionalOldSelf", rule["optionalOldSelf"], "may not be set if oldSelf is not used in rule"))
        return errors

    def _message_errors(self, rule: Schema, here: str, environment: Environment) -> list[FieldError]:
        program, wrong = _compiled(environment, rule["messageExpression"], "string", "messageExpression must evaluate to a string")
        if program is None or wrong:
            told = wrong.replace("compilation failed", "messageExpression compilation failed", 1)
            return [invalid(f"{here}.messageExpression", _shown(rule), told)]
        cost = environment.estimate(program).most
        self._total.add(f"{here}.messageExpression", cost)
        if cost <= PER_EXPRESSION:
            return []
        return [forbidden(f"{here}.messageExpression", too_costly("estimated messageExpression cost", cost, PER_EXPRESSION))]

    def total_errors(self, path: str) -> list[FieldError]:
        """What is said when all rules together cost too much."""
        if self._total.cost <= PER_DEFINITION:
            return []
        errors = [forbidden(where, CONTRIBUTED) for cost, where in self._total.highest if cost]
        words = too_costly("x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema", self._total.cost, PER_DEFINITION)
        return [*errors, forbidden(path, words)]


def _compiled(environment: Environment, text: str, wanted: str, words: str) -> tuple[Program | None, str]:
    """A program, and what is wrong with it."""
    try:
        program = environment.compile(text)
    except CompilationError as error:
        return None, f"compilation failed: {error}"
    return program, "" if program.type.kind == wanted else words


def too_costly(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    told = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {told} {_ADVICE}"


def _shown(rule: Schema) -> Schema:
    """A rule as errors print it."""
    return {
        "Rule": rule.get("rule") or "", "Message": rule.get("message") or "", "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"), "FieldPath": rule.get("fieldPath") or "", "OptionalOldSelf": rule.get("optionalOldSelf")}
