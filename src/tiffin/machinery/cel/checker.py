"""Types of expressions: every name resolved, every call matched to signatures, or a report of why not.

The checker writes `type` into every node and `overloads` into every call. It goes on after an error, so one pass reports all of them.
Messages and positions are cel-go's. Source: cel-spec "Gradual Type Checking"; cel-go's checker, and its validators of literals
(durations, timestamps, regular expressions, lists and maps of one type).
"""
from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable
from collections.abc import Mapping as ReadMapping

from tiffin.machinery.cel.ast import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListExpr,
    Literal,
    MapExpr,
    Node,
    Select,
    StructExpr,
    qualified_name,
    walk,
)
from tiffin.machinery.cel.errors import EvaluationError, Report
from tiffin.machinery.cel.functions import Function, Overload
from tiffin.machinery.cel.library.format import misuse
from tiffin.machinery.cel.regex import RegexError, compile_regex
from tiffin.machinery.cel.times import parse_duration, parse_timestamp
from tiffin.machinery.cel.types import (
    BOOL,
    DYN,
    ERROR,
    INT,
    STRING,
    UNSPECIFIED,
    AnyFields,
    Type,
    is_optional,
    list_of,
    map_of,
    optional_of,
    param,
    shown,
    type_of,
    unwrapped,
)
from tiffin.machinery.cel.unify import all_assignable, assignable, most_general, substitute
from tiffin.machinery.cel.values import kind_of


class Checker:
    """Checks one expression against variables, types by name, and functions."""

    def __init__(self, variables: ReadMapping[str, Type], types: ReadMapping[str, Type], functions: ReadMapping[str, Function]) -> None:
        self.reports: list[Report] = []
        self._scope: ChainMap[str, Type] = ChainMap({}, dict(variables))
        self._types, self._functions = types, functions
        self._mapping: dict[str, Type] = {}
        self._fresh = 0

    def check(self, root: Node) -> list[Report]:
        """Write types into the tree; the problems found."""
        self._check(root)
        for node in walk(root):
            node.type = substitute(self._mapping, node.type, free_to_dyn=True)
        if not self.reports:
            self._validate(root)
        return self.reports

    def _report(self, offset: int, message: str) -> None:
        self.reports.append(Report(offset, message))

    def _variable(self) -> Type:
        self._fresh += 1
        return param(f"_var{self._fresh}")

    def _assignable(self, wanted: Type, given: Type) -> bool:
        mapping = assignable(self._mapping, wanted, given)
        if mapping is None:
            return False
        self._mapping = mapping
        return True

    def _mismatch(self, offset: int, expected: Type, actual: Type) -> None:
        expected, actual = substitute(self._mapping, expected), substitute(self._mapping, actual)
        self._report(offset, f"expected type '{shown(expected)}' but found '{shown(actual)}'")

    def _check(self, node: Node) -> None:
        match node:
            case Literal():
                node.type = kind_of(node.value)
            case Ident():
                self._ident(node)
            case Select():
                self._select(node)
            case Call():
                self._call(node)
            case ListExpr():
                self._list(node)
            case MapExpr():
                self._map(node)
            case StructExpr():
                self._struct(node)
            case Comprehension():
                self._comprehension(node)

    def _lookup(self, name: str) -> Type | None:
        """The type of a variable, or of a name that is a type."""
        found = self._scope.maps[-1].get(name[1:]) if name.startswith(".") else self._scope.get(name)
        if found is None and (named := self._named(name.lstrip("."))) is not None:
            found = type_of(named)
        return found

    def _named(self, name: str) -> Type | None:
        """A type by name; what lies below an open struct is one, too."""
        found = self._types.get(name)
        if found is None and "." in name:
            head = self._types.get(name.partition(".")[0])
            if head is not None and isinstance(head.fields, AnyFields):
                found = Type("struct", name, fields=head.fields)
        return found

    def _ident(self, node: Ident) -> None:
        found = self._lookup(node.name)
        if found is None:
            self._undeclared(node.offset, node.name.lstrip("."))
        node.name = node.name.lstrip(".")
        node.type = found or ERROR

    def _undeclared(self, offset: int, name: str) -> None:
        self._report(offset, f"undeclared reference to '{name}' (in container '')")

    def _select(self, node: Select) -> None:
        path = qualified_name(node)
        if path is not None and (found := self._lookup(path)) is not None:
            node.resolved, node.type = path.lstrip("."), found
            return
        type_ = self._field(node.offset, node.operand, node.field, False)
        node.type = BOOL if node.test else substitute(self._mapping, type_)

    def _field(self, offset: int, operand: Node, name: str, optional: bool) -> Type:
        self._check(operand)
        whole = substitute(self._mapping, operand.type)
        target, result = unwrapped(whole), ERROR
        if target.kind == "map":
            result = target.params[1]
        elif target.kind == "struct":
            result = self._field_of(offset, target, name)
        elif target.kind == "param":
            self._assignable(DYN, target)
            result = DYN
        else:
            if target.kind not in ("dyn", "error"):
                self._report(offset, f"type '{shown(target)}' does not support field selection")
            result = DYN
        return optional_of(result) if optional or is_optional(whole) else result

    def _field_of(self, offset: int, struct: Type, name: str) -> Type:
        field = struct.fields.get(name) if struct.fields else None
        if field is None:
            self._report(offset, f"undefined field '{name}'")
            return ERROR
        return field.type

    def _call(self, node: Call) -> None:
        if node.function == "_?._":
            self._optional_select(node)
            return
        for arg in node.args:
            self._check(arg)
        if node.target is None:
            self._resolve(node, self._functions.get(node.function), node.function)
            return
        path = qualified_name(node.target)
        if path is not None and (function := self._functions.get(f"{path.lstrip('.')}.{node.function}")):
            node.function, node.target = function.name, None
            self._resolve(node, function, function.name)
            return
        self._check(node.target)
        self._resolve(node, self._functions.get(node.function), node.function)

    def _optional_select(self, node: Call) -> None:
        field = node.args[1]
        assert isinstance(field, Literal)
        field.type = STRING
        node.type = substitute(self._mapping, self._field(node.offset, node.args[0], field.value, True))
        node.overloads = [SELECT_OPTIONAL]

    def _resolve(self, node: Call, function: Function | None, name: str) -> None:
        if function is None:
            self._undeclared(node.offset, name)
            node.type = ERROR
            return
        given = [arg.type for arg in ([node.target] if node.target else []) + node.args]
        result: Type | None = None
        for overload in function.overloads:
            if overload.member != (node.target is not None) or len(overload.params) != len(given):
                continue
            params, returned = self._instance(overload)
            mapping = all_assignable(self._mapping, params, given)
            if mapping is None:
                continue
            self._mapping = mapping
            node.overloads.append(overload)
            found = substitute(mapping, returned)
            if result is None:
                result = found
            elif result.kind != "dyn" and result != found:
                result = DYN
        if result is None:
            self._no_overload(node, [substitute(self._mapping, type_, True) for type_ in given])
        node.type = result or ERROR

    def _instance(self, overload: Overload) -> tuple[tuple[Type, ...], Type]:
        if not overload.generic:
            return overload.params, overload.result
        fresh = {name: self._variable() for name in overload.generic}
        return tuple(substitute(fresh, type_) for type_ in overload.params), substitute(fresh, overload.result)

    def _no_overload(self, node: Call, given: list[Type]) -> None:
        names = list(map(shown, given))
        applied = f"{names[0]}.({', '.join(names[1:])})" if node.target is not None else f"({', '.join(names)})"
        self._report(node.offset, f"found no matching overload for '{node.function}' applied to '{applied}'")

    def _join(self, node: Node, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        if self._assignable(previous, current):
            return most_general(previous, current)
        self._mismatch(node.offset, previous, current)
        return ERROR

    def _unwrap(self, node: Node, optional: bool) -> Type:
        """The type of an element; behind a question mark there must be an optional."""
        if not optional:
            return node.type
        if not is_optional(node.type) and node.type.kind != "dyn":
            self._mismatch(node.offset, optional_of(node.type), node.type)
        return unwrapped(node.type)

    def _list(self, node: ListExpr) -> None:
        elements: Type | None = None
        for index, element in enumerate(node.elements):
            self._check(element)
            elements = self._join(element, elements, self._unwrap(element, index in node.optional))
        node.type = list_of(elements or self._variable())

    def _map(self, node: MapExpr) -> None:
        keys: Type | None = None
        values: Type | None = None
        for entry in node.entries:
            self._check(entry.key)
            keys = self._join(entry.key, keys, entry.key.type)
            self._check(entry.value)
            values = self._join(entry.value, values, self._unwrap(entry.value, entry.optional))
        node.type = map_of(keys or self._variable(), values or self._variable())

    def _struct(self, node: StructExpr) -> None:
        node.name = node.name.lstrip(".")
        named = self._named(node.name)
        if named is None:
            self._undeclared(node.offset, node.name)
            node.type = ERROR
            return
        if named.kind != "struct":
            self._report(node.offset, f"'{named.name}' is not a message type")
            node.type = ERROR
            return
        node.type = named
        for entry in node.entries:
            self._check(entry.value)
            self._struct_field(entry, named)

    def _struct_field(self, entry: Entry, struct: Type) -> None:
        field = struct.fields.get(entry.key) if struct.fields else None
        wanted = field.type if field else UNSPECIFIED
        given = self._unwrap(entry.value, entry.optional)
        if not self._assignable(wanted, given):
            self._report(entry.offset, f"expected type of field '{entry.key}' is '{shown(wanted)}' but provided type is '{shown(given)}'")

    def _comprehension(self, node: Comprehension) -> None:
        self._check(node.range)
        self._check(node.initial)
        accumulated = node.initial.type
        self._scope = self._scope.new_child({node.accumulator: accumulated})
        first, second = self._iterated(node)
        self._scope = self._scope.new_child({node.variable: first} | ({node.second: second} if node.second else {}))
        self._check(node.condition)
        self._assert(node.condition, BOOL)
        self._check(node.step)
        self._assert(node.step, accumulated)
        self._scope = self._scope.parents
        self._check(node.result)
        self._scope = self._scope.parents
        node.type = substitute(self._mapping, node.result.type)

    def _iterated(self, node: Comprehension) -> tuple[Type, Type]:
        range_ = substitute(self._mapping, node.range.type)
        if range_.kind == "list":
            return (INT, range_.params[0]) if node.second else (range_.params[0], ERROR)
        if range_.kind == "map":
            return range_.params[0], range_.params[1]
        if range_.kind in ("dyn", "error", "param"):
            self._assignable(DYN, range_)
            return DYN, DYN
        self._report(node.range.offset, f"expression of type '{shown(range_)}' cannot be range of a comprehension (must be list, map, or dynamic)")
        return ERROR, ERROR

    def _assert(self, node: Node, wanted: Type) -> None:
        if not self._assignable(wanted, node.type):
            self._mismatch(node.offset, wanted, node.type)

    def _validate(self, root: Node) -> None:
        """What is only asked of expressions that check: literals that can be read, lists and maps of one type."""
        exempt = {id(below) for node in walk(root) if isinstance(node, Call) and node.function == "format" for below in walk(node)}
        for node in walk(root):
            if isinstance(node, Call):
                self._validate_literal(node)
            elif id(node) in exempt:
                continue
            elif isinstance(node, ListExpr):
                self._same_types((element, index in node.optional) for index, element in enumerate(node.elements))
            elif isinstance(node, MapExpr):
                self._same_types((entry.key, False) for entry in node.entries)
                self._same_types((entry.value, entry.optional) for entry in node.entries)

    def _validate_literal(self, node: Call) -> None:
        argument = node.args[-1] if node.args else None
        if node.function == "format" and isinstance(argument, ListExpr) and isinstance(node.target, Literal):
            self._validate_format(node, node.target.value, argument.elements)
        if not isinstance(argument, Literal) or not isinstance(argument.value, str):
            return
        parts = ([node.target] if node.target else []) + node.args
        try:
            if node.function == "duration" and len(parts) == 1:
                parse_duration(argument.value)
            elif node.function == "timestamp" and len(parts) == 1:
                parse_timestamp(argument.value)
        except EvaluationError:
            self._report(argument.offset, f"invalid {node.function} argument")
        if node.function == "matches" and len(parts) == 2:
            try:
                compile_regex(argument.value)
            except RegexError:
                self._report(argument.offset, "invalid matches argument")

    def _validate_format(self, node: Call, template: str, arguments: list[Node]) -> None:
        wrong = misuse(template, [argument.type for argument in arguments])
        if wrong is not None:
            which, message = wrong
            self._report(node.offset if which is None else arguments[which].offset, message)

    def _same_types(self, elements: Iterable[tuple[Node, bool]]) -> None:
        expected: Type | None = None
        for node, optional in elements:
            actual = unwrapped(node.type) if optional else node.type
            if expected is None:
                expected = actual
            elif expected != actual:
                self._report(node.offset, f"expected type '{shown(expected)}' but found '{shown(actual)}'")
                return


SELECT_OPTIONAL = Overload("select_optional_field", False, (DYN, STRING), optional_of(DYN), (), lambda *_: None)
