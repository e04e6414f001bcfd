"""Selectors: the text of `labelSelector=` and `fieldSelector=`, and LabelSelector objects, as one matching thing.

A `Selector` is a conjunction of requirements sorted by key. Its text form is what Scale.status.selector and `kubectl` show.
Errors of parsing are `SelectorError` with Kubernetes' message. Source: API concepts, "Labels and selectors"; the grammar
has the operators = == != in notin > < and existence.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_label_value, is_qualified_name


class SelectorError(ValueError):
    """A selector that cannot be parsed; the message is Kubernetes'."""


_integer = re.compile(r"[+-]?[0-9]{1,19}").fullmatch


def _as_int64(text: str) -> int | None:
    value = int(text) if _integer(text) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


class Requirement(NamedTuple):
    """One condition on a label. `operator` is one of = == != in notin exists ! gt lt; `values` is sorted and without doubles."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        number, limit = _as_int64(value) if value is not None else None, _as_int64(self.values[0])
        if number is None or limit is None:
            return False
        return number > limit if self.operator == "gt" else number < limit

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
        return f"{self.key}{self.operator}{self.values[0]}"


class Selector:
    """All of `requirements` must hold. `EVERYTHING` has none; `NOTHING` never matches."""

    __slots__ = ("_equal", "_matches_nothing", "_others", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), matches_nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self._matches_nothing = matches_nothing
        self._equal = tuple((r.key, r.values[0]) for r in self.requirements if r.operator in ("=", "=="))
        self._others = tuple(r for r in self.requirements if r.operator not in ("=", "=="))

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self._matches_nothing:
            return False
        labels = labels or {}
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self._others)

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self._matches_nothing

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and (self.requirements, self._matches_nothing) == (other.requirements, other._matches_nothing)

    def __hash__(self) -> int:
        return hash((self.requirements, self._matches_nothing))


EVERYTHING = Selector()
NOTHING = Selector(matches_nothing=True)

# --- label selector text -------------------------------------------------------------------------------------------------

_SYMBOLS = "=!(),<>"
_SPACES = " \t\r\n"
_OPERATORS = {")": "close", ",": "comma", "!": "not", "==": "op", "=": "op", "!=": "op", "(": "open", ">": "op", "<": "op"}
_NAMES = {"in", "notin"}
_END = ("end", "")


def _symbol(text: str, start: int) -> tuple[str, str, int]:
    """The longest operator at `start`: its token, its text and where it ends."""
    end, found = start, ("error", "")
    while end < len(text) and text[end] in _SYMBOLS:
        candidate = text[start : end + 1]
        if candidate in _OPERATORS:
            found = (_OPERATORS[candidate], candidate)
        elif found[0] != "error":
            return *found, end
        end += 1
    return (*found, end) if found[0] != "error" else ("error", f"error expected: keyword found '{text[start:end]}'", end)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text) and text[at] != "\0":
        if text[at] in _SPACES:
            at += 1
        elif text[at] in _SYMBOLS:
            kind, literal, at = _symbol(text, at)
            yield kind, literal
        else:
            end = at
            while end < len(text) and text[end] not in _SYMBOLS and text[end] not in _SPACES and text[end] != "\0":
                end += 1
            yield "word", text[at:end]
            at = end


class _Parser:
    """Recursive descent over the tokens; the methods bear the names of the grammar's productions."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.at = 0

    def look(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else _END

    def take(self) -> tuple[str, str]:
        token = self.look()
        self.at += 1
        return token

    def selector(self) -> Iterator[Requirement]:
        while True:
            kind, literal = self.look()
            if kind == "end":
                return
            if kind not in ("word", "not"):
                raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                yield self.requirement()
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            kind, literal = self.take()
            if kind == "end":
                return
            if kind != "comma":
                raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self.look()
            if kind not in ("word", "not"):
                raise SelectorError(f"found '{literal}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        kind, literal = self.take()
        negated = kind == "not"
        if negated:
            kind, literal = self.take()
        if kind != "word":
            raise SelectorError(f"found '{literal}', expected: identifier")
        complaints = is_qualified_name(literal)
        if complaints:
            raise SelectorError(str(f.invalid("<nil>", literal, "; ".join(complaints))))
        if negated:
            return Requirement(literal, "!")
        if self.look()[0] in ("end", "comma"):
            return Requirement(literal, "exists")
        operator = self.operator()
        values = self.values() if operator in _NAMES else {self.value()}
        return _checked(Requirement(literal, operator, tuple(sorted(values))))

    def operator(self) -> str:
        kind, literal = self.take()
        if kind == "op" or literal in _NAMES:
            return {">": "gt", "<": "lt"}.get(literal, literal)
        raise SelectorError(f"found '{literal}', expected: in, notin, =, ==, !=, gt, lt")

    def value(self) -> str:
        if self.look()[0] in ("end", "comma"):
            return ""
        kind, literal = self.take()
        if kind != "word":
            raise SelectorError(f"found '{literal}', expected: identifier")
        return literal

    def values(self) -> set[str]:
        kind, literal = self.take()
        if kind != "open":
            raise SelectorError(f"found '{literal}' expected: '('")
        kind, literal = self.look()
        if kind == "close":
            self.take()
            return {""}
        if kind not in ("word", "comma"):
            raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")
        found = self.identifiers()
        self.take()
        return found

    def identifiers(self) -> set[str]:
        """Up to, not including, the closing parenthesis; an empty place between commas is the empty value."""
        found: set[str] = set()
        while True:
            kind, literal = self.take()
            following, text = self.look()
            if kind == "word":
                found.add(literal)
                if following == "close":
                    return found
                if following != "comma":
                    raise SelectorError(f"found '{text}', expected: ',' or ')'")
            elif kind == "comma":
                if not found or following in ("close", "comma"):
                    found.add("")
                if following == "close":
                    return found
                if following == "comma":
                    self.take()
            else:
                raise SelectorError(f"found '{literal}', expected: ',', or identifier")


def _checked(requirement: Requirement) -> Requirement:
    errors = []
    if requirement.operator in ("gt", "lt") and _as_int64(requirement.values[0]) is None:
        errors.append(f.invalid("values[0]", requirement.values[0], "for 'Gt', 'Lt' operators, the value must be an integer"))
    for index, value in enumerate(requirement.values):
        complaints = is_label_value(value)
        if complaints:
            errors.append(f.invalid(f"values[{index}][{requirement.key}]", value, "; ".join(complaints)))
    if errors:
        texts = list(dict.fromkeys(map(str, errors)))
        raise SelectorError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return requirement


@lru_cache(maxsize=1024)
def parse_label_selector(text: str) -> Selector:
    """The selector of a `labelSelector` query parameter. Raises SelectorError."""
    return Selector(_Parser(text).selector())


# --- LabelSelector objects -----------------------------------------------------------------------------------------------

_EXPRESSION_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """A LabelSelector as a Selector: None matches nothing, an empty one everything. Raises SelectorError for unknown operators."""
    if selector is None:
        return NOTHING
    requirements = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _EXPRESSION_OPERATORS.get(expression.get("operator") or "")
        if operator is None:
            raise SelectorError(f'"{expression.get("operator") or ""}" is not a valid label selector operator')
        values = tuple(sorted(set(expression.get("values") or ())))
        if (operator in _NAMES) != bool(values):
            raise SelectorError(str(f.invalid("values", list(values) or None, "for 'in', 'notin' operators, values set can't be empty" if
                                              operator in _NAMES else "values set must be empty for exists and does not exist")))
        requirements.append(Requirement(expression.get("key") or "", operator, values))
    return Selector(requirements) if requirements else EVERYTHING


def from_label_map(labels: Mapping[str, str] | None) -> Selector:
    """A map of labels, as a Service or ReplicationController selects, as a Selector; empty matches everything."""
    return Selector(Requirement(key, "=", (value,)) for key, value in (labels or {}).items())


def validate_label_selector(selector: Mapping[str, Any] | None, path: str, allow_invalid_values: bool = False) -> list[FieldError]:
    """Violations of a LabelSelector object at `path`."""
    if not selector:
        return []
    from tiffin.machinery.validation import validate_labels

    errors = validate_labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        errors += _validate_expression(expression, f"{path}.matchExpressions[{index}]", allow_invalid_values)
    return errors


def _validate_expression(expression: Mapping[str, Any], path: str, allow_invalid_values: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(f.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(f.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
    else:
        errors.append(f.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    errors += [f.invalid(f"{path}.key", expression.get("key") or "", m) for m in is_qualified_name(expression.get("key") or "")]
    if not allow_invalid_values:
        errors += [f.invalid(f"{path}.values[{i}]", value, m) for i, value in enumerate(values) for m in is_label_value(value)]
    return errors


# --- field selector text -------------------------------------------------------------------------------------------------


def _terms(text: str) -> list[str]:
    """The text cut at commas that are not escaped, sorted; empty terms are dropped."""
    return sorted(part for part in re.findall(r"(?:\\.|[^,\\]|\\$)*", text, re.DOTALL) if part)


def _unescaped(text: str) -> str:
    out, at = [], 0
    while at < len(text):
        c = text[at]
        if c == "\\":
            at += 1
            if at == len(text) or text[at] not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: {text[at - 1 : at + 1]}")
            c = text[at]
        elif c in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(c)}")
        out.append(c)
        at += 1
    return "".join(out)


_term = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL).fullmatch


def parse_field_selector(text: str) -> list[tuple[str, str, str]]:
    """The (field, operator, value) triples of a `fieldSelector` query parameter; the operator is "=" or "!=". Raises SelectorError."""
    found = []
    for part in _terms(text):
        match = _term(part)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        found.append((match[1], "!=" if match[2] == "!=" else "=", _unescaped(match[3])))
    return found
