"""Values at run time.

JSON is used as it is: int, float, str, bool, None, list, dict. What JSON has no word for is wrapped: `Uint`, `bytes`, `Timestamp`,
`Duration`, `Optional`, types themselves (`Type`), and the values of libraries, which say their type in `cel_type`. Objects whose
fields are not what JSON says (escaped names, times) are `TypedObject`s; lists that a schema calls sets or maps are `SetList` and
`MapList`, lists with another idea of `==` and `+`. No value is ever changed.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tiffin.machinery.cel.errors import CostExceeded, EvaluationError
from tiffin.machinery.cel.types import BOOL, BYTES, DOUBLE, DURATION, INT, LIST, MAP, NULL, STRING, TIMESTAMP, UINT, Type, type_of

INT_MIN, INT_MAX, UINT_MAX = -2**63, 2**63 - 1, 2**64 - 1
NANOS = 10**9
EARLIEST, LATEST = -62135596800 * NANOS, 253402300800 * NANOS - 1
"""Years 1 to 9999, in nanoseconds since 1970."""


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


class Duration(int):
    """Nanoseconds, 64 bits."""

    __slots__ = ()


class Timestamp(int):
    """Nanoseconds since 1970, years 1 to 9999."""

    __slots__ = ()

    def moment(self) -> datetime:
        """The UTC time, cut to microseconds."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(self) // NANOS, microseconds=int(self) % NANOS // 1000)


class Optional:
    """A value or none."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present, self.value = present, value


NONE = Optional(False)


class TypedObject:
    """An object behind its type: fields by CEL name, adapted when first read. A field that is null is absent."""

    __slots__ = ("_adapted", "raw", "type")

    def __init__(self, raw: dict[str, Any], type_: Type) -> None:
        self.raw, self.type = raw, type_
        self._adapted: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """The value of a field. Raises KeyError when it is absent or not declared."""
        field = self.type.fields.get(name) if self.type.fields else None
        if field is None:
            raise KeyError(name)
        value = self.raw[field.key]
        if value is None:
            raise KeyError(name)
        if field.type.adapt is None:
            return value
        if name not in self._adapted:
            self._adapted[name] = field.type.adapt(value)
        return self._adapted[name]

    def names(self) -> Iterator[str]:
        """CEL names of the fields that are there."""
        if self.type.fields:
            yield from (name for name, field in self.type.fields.all().items() if self.raw.get(field.key) is not None)


class Made(TypedObject):
    """A struct that an expression made: `raw` holds run-time values by name."""

    __slots__ = ()

    def get(self, name: str) -> Any:
        return self.raw[name]

    def names(self) -> Iterator[str]:
        return iter(self.raw)


class Lazy:
    """A struct whose fields are computed when first asked for: `variables` of policies. What a field raised, it raises again."""

    __slots__ = ("_known", "_thunks", "cel_type")

    def __init__(self, type_: Type, thunks: Mapping[str, Callable[[], Any]]) -> None:
        self.cel_type, self._thunks, self._known = type_, thunks, dict[str, Any]()

    def get(self, name: str) -> Any:
        """The value of a field. Raises KeyError when there is no such field, EvaluationError as its computation does."""
        if name not in self._known:
            try:
                self._known[name] = self._thunks[name]()
            except EvaluationError as error:
                self._known[name] = error
        value = self._known[name]
        if isinstance(value, EvaluationError):
            raise value
        return value

    def has(self, name: str) -> bool:
        return name in self._thunks


def tree_size(value: Any, limit: int = 1_500_000) -> int:
    """How many values a value consists of. Raises CostExceeded beyond the limit, which is about what fits into a request.

    Values made by an expression may share their parts, and so be larger than any memory once something walks through all of them.
    """
    count, stack = 0, [value]
    while stack:
        part = stack.pop()
        count += 1
        if isinstance(part, list):
            stack.extend(part)
        elif isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, TypedObject):
            stack.append(part.raw)
        elif type(part) is Optional:
            stack.append(part.value)
        if count + len(stack) > limit:
            raise CostExceeded
    return count


def identity(value: Any) -> Any:
    """Something hashable that is equal exactly when the values are."""
    kind = type(value)
    if kind in _NUMBERS:
        return ("number", value)
    if isinstance(value, list):
        return ("list", tuple(map(identity, value)))
    if kind is Made:
        return ("made", value.type, identity(value.raw))
    if kind is dict or kind is TypedObject:
        return ("map", frozenset((identity(key), identity(item)) for key, item in entries(value).items()))
    if kind in _PLAIN:
        return (kind, value)
    return _Wrapped(value)


class _Wrapped:
    """A value without a hash, compared as values are."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Wrapped) and equal(self.value, other.value)

    def __hash__(self) -> int:
        return hash(type(self.value))


class SetList(list[Any]):
    """A list with x-kubernetes-list-type set: order does not matter for `==`; `+` keeps what is there and adds what is new."""

    __slots__ = ()

    def plus(self, other: list[Any]) -> list[Any]:
        known = set(map(identity, self))
        return SetList([*self, *(item for item in other if identity(item) not in known)])

    def same(self, other: list[Any]) -> bool:
        return len(self) == len(other) and set(map(identity, self)) == set(map(identity, other))


class MapList(list[Any]):
    """A list with x-kubernetes-list-type map: elements are known by `keys`; `+` replaces those with the same keys."""

    __slots__ = ("keys",)

    def __init__(self, items: Iterable[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def _by_key(self, items: list[Any]) -> dict[Any, Any]:
        def key(item: Any) -> Any:
            raw = item.raw if isinstance(item, TypedObject) else item
            return tuple(identity(raw.get(name)) for name in self.keys) if isinstance(raw, dict) else identity(raw)
        return {key(item): item for item in items}

    def plus(self, other: list[Any]) -> list[Any]:
        return MapList((self._by_key(self) | self._by_key(other)).values(), self.keys)

    def same(self, other: list[Any]) -> bool:
        mine, theirs = self._by_key(self), self._by_key(other)
        return len(self) == len(other) and mine.keys() == theirs.keys() and all(equal(value, theirs[key]) for key, value in mine.items())


_NUMBERS = frozenset((int, float, Uint))
_PLAIN = frozenset((str, int, float, Uint, bool, bytes, Duration, Timestamp, type(None)))
_TYPES: dict[type, Type] = {
    bool: BOOL, int: INT, Uint: UINT, float: DOUBLE, str: STRING, bytes: BYTES, list: LIST, dict: MAP, type(None): NULL,
    SetList: LIST, MapList: LIST, Timestamp: TIMESTAMP, Duration: DURATION, Optional: Type("opaque", "optional_type")}


def kind_of(value: Any) -> Type:
    """The run-time type of a value, without parameters."""
    found = _TYPES.get(type(value))
    if found is not None:
        return found
    if isinstance(value, TypedObject):
        return value.type
    return type_of(value) if isinstance(value, Type) else value.cel_type


def type_name(value: Any) -> str:
    """The name `type(value)` has."""
    return kind_of(value).name


def equal(left: Any, right: Any) -> bool:
    """Heterogeneous equality: numbers by value, whatever their type; anything else only with its own kind."""
    mine, other = type(left), type(right)
    if left is right and mine is not float:
        return True
    if mine is other and mine in _PLAIN:
        return bool(left == right)
    if mine in _NUMBERS and other in _NUMBERS:
        return bool(left == right)
    if isinstance(left, list):
        return isinstance(right, list) and _same_list(left, right)
    if mine is dict or mine is TypedObject:
        return (other is dict or other is TypedObject) and _same_map(left, right)
    if mine is Made:
        return other is Made and left.type == right.type and _same_map(left.raw, right.raw)
    if mine is Optional:
        return other is Optional and left.present == right.present and (not left.present or equal(left.value, right.value))
    if mine is not other:
        return False
    return left.name == right.name if isinstance(left, Type) else bool(left == right)


def _same_list(left: list[Any], right: list[Any]) -> bool:
    for side, opposite in ((left, right), (right, left)):
        if isinstance(side, SetList | MapList):
            return side.same(opposite)
    return len(left) == len(right) and all(map(equal, left, right))


def _same_map(left: Any, right: Any) -> bool:
    if isinstance(left, TypedObject) and isinstance(right, TypedObject):
        if left.raw is right.raw:
            return True
        if left.raw.keys() != right.raw.keys():
            return False
        known = {field.key for field in left.type.fields.all().values()} if left.type.fields else set()
        return all(equal(left.raw[key], right.raw[key]) for key in left.raw.keys() - known) and _same_map(entries(left), entries(right))
    mine, theirs = entries(left), entries(right)
    return len(mine) == len(theirs) and all(key in theirs and equal(value, theirs[key]) for key, value in mine.items())


def entries(value: Any) -> dict[Any, Any]:
    """A map as a dict, an object as one of its adapted fields."""
    return value if isinstance(value, dict) else {name: value.get(name) for name in value.names()}


def contains(items: Iterable[Any], wanted: Any) -> bool:
    """Whether an element equals `wanted`."""
    return any(equal(item, wanted) for item in items)


def has_key(mapping: Any, key: Any) -> bool:
    """`key in mapping`; keys are numbers by value, and booleans are no numbers."""
    if isinstance(mapping, TypedObject):
        field = mapping.type.fields.get(key) if mapping.type.fields and isinstance(key, str) else None
        return field is not None and mapping.raw.get(field.key if type(mapping) is TypedObject else key) is not None
    if type(key) is str:
        return key in mapping
    if type(key) not in _NUMBERS and type(key) is not bool:
        return False
    return key in mapping and (type(key) is bool) == any(type(other) is bool and other == key for other in mapping)


def checked(value: int) -> int:
    """An int within 64 bits. Raises EvaluationError."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def checked_uint(value: int) -> Uint:
    """A uint within 64 bits. Raises EvaluationError."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def checked_duration(value: int) -> Duration:
    """A duration within 64 bits of nanoseconds. Raises EvaluationError."""
    if INT_MIN <= value <= INT_MAX:
        return Duration(value)
    raise EvaluationError("duration overflow")


def checked_timestamp(value: int) -> Timestamp:
    """A timestamp of the years 1 to 9999. Raises EvaluationError."""
    if EARLIEST <= value <= LATEST:
        return Timestamp(value)
    raise EvaluationError("timestamp overflow")


def size_of(value: Any) -> int:
    """Elements, entries, characters or bytes; 1 for what has no size."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    return len(value.raw) if isinstance(value, TypedObject) else 1
