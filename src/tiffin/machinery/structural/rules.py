"""x-kubernetes-validations: the CEL rules of a schema, asked about an object.

A `RuleNode` stands for a schema node with rules on it or below it; nodes without any do not exist. Expressions are compiled when a
value first meets them. `self` is the value, `oldSelf` the old one at the same place: a rule that uses it is not asked where there is
none, unless it says `optionalOldSelf`. Items of lists have an old value only in lists of type map, fields only in maps that are not
atomic. A rule without `oldSelf` that fails is passed over where the value has not changed. All rules of a request share one budget.

Source: API extension docs, "Validation rules"; KEP-2876, KEP-4008.
"""
from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from tiffin.machinery.cel.budget import Budget
from tiffin.machinery.cel.environment import Environment, Program
from tiffin.machinery.cel.errors import CompilationError, CostExceeded, EvaluationError
from tiffin.machinery.cel.schematypes import schema_type
from tiffin.machinery.cel.types import Type
from tiffin.machinery.cel.values import NONE, Optional
from tiffin.machinery.field import FieldError, duplicate, invalid, quoted
from tiffin.machinery.structural.rulepaths import child_path
from tiffin.machinery.structural.values import NOWHERE, UNKNOWN, correlate, unchanged

Schema = dict[str, Any]
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
LONGEST_MESSAGE = 5 * 1024


@lru_cache(maxsize=1)
def base_environment() -> Environment:
    """All functions, no variables."""
    return Environment({})


def rule_environment(self_type: Type, optional_old: bool) -> Environment:
    """What the rules of a node may speak of."""
    old = Type("opaque", "optional_type", (self_type,)) if optional_old else self_type
    return base_environment().extended({"self": self_type, "oldSelf": old})


class Rule:
    """One rule, compiled. `program` is None for one that does not compile, with the reason in `failure`."""

    def __init__(self, rule: Schema, self_type: Type | None, schema: Schema) -> None:
        self.rule = rule
        self.optional_old = bool(rule.get("optionalOldSelf"))
        self.failure = ""
        self.program: Program | None = None
        self.message: Program | None = None
        self.path = child_path(schema, rule.get("fieldPath") or "")
        if self_type is None:
            return
        environment = rule_environment(self_type, self.optional_old)
        try:
            self.program = environment.compile(rule.get("rule") or "")
            if rule.get("messageExpression"):
                self.message = environment.compile(rule["messageExpression"])
        except CompilationError as error:
            self.failure = f"compilation failed: {error}"
        self.uses_old = self.program is not None and "oldSelf" in self.program.variables
        self.adapt = self_type.adapt

    @property
    def told(self) -> str:
        """What names the rule in errors."""
        return str(self.rule.get("message") or self.rule.get("rule") or "").strip()

    @property
    def default_message(self) -> str:
        return self.told if self.rule.get("message") else f"failed rule: {self.told}"


class _Stop(Exception):
    """No further rules are run."""


class _TooCostly(Exception):
    """A messageExpression spent more than it may."""


class _Asked(NamedTuple):
    """One asking of all rules: what is found, what was passed over, and what may still be spent."""

    errors: list[FieldError]
    budget: Budget
    passed: list[FieldError]


class _Ancestor(NamedTuple):
    """The nearest place on the way that has an old value, for what stands below it and has none."""

    schema: Schema
    old: Any
    value: Any


class RuleNode:
    """The rules of a schema node and of what is below it."""

    def __init__(self, schema: Schema, resource: bool, fields: dict[str, RuleNode], others: RuleNode | None, items: RuleNode | None) -> None:
        self.schema, self.resource, self.fields, self.others, self.items = schema, resource, fields, others, items
        self.keeps_fields = schema.get("x-kubernetes-map-type") != "atomic"

    @cached_property
    def rules(self) -> list[Rule]:
        declared = self.schema.get("x-kubernetes-validations") or []
        if not declared:
            return []
        self_type = schema_type(self.schema, root=self.resource)
        return [Rule(rule, self_type, self.schema) for rule in declared if (rule.get("rule") or "").strip()]

    def violations(
        self, value: Any, old: Any = None, budget: Budget | None = None, path: str = "", passed: list[FieldError] | None = None
    ) -> list[FieldError]:
        """What the rules say of a value; `old` is None on creation. What they say of unchanged values is added to `passed`."""
        errors: list[FieldError] = []
        try:
            self._ask(_Asked(errors, budget or Budget(), [] if passed is None else passed), value, path, old, UNKNOWN if old is None else old, None)
        except _Stop:
            pass
        return errors

    def _ask(self, asked: _Asked, value: Any, path: str, old: Any, before: Any, near: _Ancestor | None) -> None:
        """`old` is what `oldSelf` is, `before` what an unchanged value is told by; the two are correlated by different rules.
        Where there is nothing before, the value is unchanged if `near` is."""
        if value is None:
            return
        if before is not UNKNOWN:
            near = _Ancestor(self.schema, before, value)
        for rule in self.rules:
            self._ask_rule(asked, rule, value, path, old, near)
        if value.__class__ is list and self.items is not None:
            was = correlate(self.schema, old, value) if self.schema.get("x-kubernetes-list-type") == "map" and old.__class__ is list else None
            earlier = correlate(self.schema, before, value) if before.__class__ is list else None
            for index, item in enumerate(value):
                counterpart = was(index) if was is not None else None
                self.items._ask(
                    asked, item, f"{path}[{index}]", None if counterpart is UNKNOWN else counterpart,
                    UNKNOWN if earlier is None else earlier(index), near)
        elif value.__class__ is dict:
            olds = old if old.__class__ is dict and self.keeps_fields else {}
            befores = before if before.__class__ is dict else {}
            for key, item in value.items():
                node = self.fields.get(key)
                if node is not None:
                    node._ask(asked, item, f"{path}.{key}" if path else key, olds.get(key), befores.get(key, UNKNOWN), near)
                elif self.others is not None:
                    self.others._ask(asked, item, f"{path}[{key}]", olds.get(key), befores.get(key, UNKNOWN), near)

    def _ask_rule(self, asked: _Asked, rule: Rule, value: Any, path: str, old: Any, near: _Ancestor | None) -> None:
        kind = self.schema.get("type") or ""
        if rule.program is None:
            asked.errors.append(invalid(path or NOWHERE, kind, f"rule compile error: {rule.failure}"))
            return
        if rule.uses_old and old is None and not rule.optional_old:
            return
        bindings = {"self": value, "oldSelf": self._old(rule, old)}
        try:
            met = rule.program.evaluate(bindings, asked.budget)
        except EvaluationError as error:
            text = str(error)
            if text.startswith("no such overload"):
                text = f"'{text}': call arguments did not match a supported operator, function or macro signature for rule: {rule.told}"
            else:
                text = f"{text} evaluating rule: {rule.told}"
            asked.errors.append(invalid(path or NOWHERE, kind, text))
            met = True
        except CostExceeded as error:
            text = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule.told}"
            asked.errors.append(invalid(path or NOWHERE, kind, text))
            raise _Stop from None
        self._check_budget(asked, path, kind)
        if met is True:
            return
        where = (path + (rule.path if path else rule.path.removeprefix("."))) or NOWHERE
        found = asked.passed if not rule.uses_old and near is not None and unchanged(*near) else asked.errors
        try:
            message = self._message(asked, rule, bindings)
        except _TooCostly as error:
            found.append(invalid(where, kind, str(error)))
            raise _Stop from None
        found.append(_error(rule.rule.get("reason") or "", where, value, message))

    @staticmethod
    def _old(rule: Rule, old: Any) -> Any:
        if not rule.optional_old:
            return old
        return NONE if old is None else Optional(True, rule.adapt(old) if rule.adapt else old)

    @staticmethod
    def _check_budget(asked: _Asked, path: str, kind: str) -> None:
        if asked.budget.exhausted:
            asked.errors.append(invalid(path or NOWHERE, kind, OUT_OF_BUDGET))
            raise _Stop

    @staticmethod
    def _message(asked: _Asked, rule: Rule, bindings: dict[str, Any]) -> str:
        """What a failed rule tells: its messageExpression if that comes to a line of text, else its message. Raises _TooCostly."""
        if rule.message is None:
            return rule.default_message
        try:
            text = rule.message.evaluate(bindings, asked.budget)
        except EvaluationError:
            text = ""
        except CostExceeded:
            source = quoted(rule.rule["messageExpression"])
            raise _TooCostly(f"no further validation rules will be run due to call cost exceeds limit for messageExpression: {source}") from None
        if asked.budget.exhausted:
            raise _TooCostly(f"messageExpression evaluation failed {OUT_OF_BUDGET.removeprefix('validation failed ')}")
        line = text.strip() if isinstance(text, str) else ""
        return line if line and "\n" not in line and len(line.encode()) <= LONGEST_MESSAGE else rule.default_message


def _error(reason: str, path: str, value: Any, message: str) -> FieldError:
    """Values of lists and objects are left out."""
    if reason == "FieldValueForbidden":
        return FieldError(reason, path, f"Forbidden: {message}")
    if reason == "FieldValueRequired":
        return FieldError(reason, path, f"Required value: {message}")
    plain = value.__class__ not in (dict, list)
    if reason == "FieldValueDuplicate":
        return duplicate(path, value) if plain else FieldError(reason, path, "Duplicate value")
    return invalid(path, value, message) if plain else FieldError("FieldValueInvalid", path, f"Invalid value: {message}")


def rule_node(schema: Schema, resource: bool = False) -> RuleNode | None:
    """The rules on and below a schema, None if there are none. `resource`: its values have kind, apiVersion and metadata."""
    fields = {key: node for key, sub in (schema.get("properties") or {}).items() if (node := _below(sub)) is not None}
    others, items = _below(schema.get("additionalProperties")), _below(schema.get("items"))
    if not fields and others is None and items is None and not schema.get("x-kubernetes-validations"):
        return None
    return RuleNode(schema, resource, fields, others, items)


def _below(schema: Any) -> RuleNode | None:
    return rule_node(schema, bool(schema.get("x-kubernetes-embedded-resource"))) if isinstance(schema, dict) else None
