"""Sets of field paths, kept in the very form in which managed fields store them (FieldsV1).

A set is a dictionary of nodes by path element: `f:NAME` a field, `k:{KEYS}` an element of a keyed list, `v:VALUE` an element of
a set list, `i:INDEX` one by position. A node is a dictionary too. An empty node is a member without children; a node with `.`
is a member that has children; a node without `.` only leads to its children. The empty set is the empty dictionary.

Sets and nodes are never changed once made: they are shared between sets and with stored objects. `LEAF` is the empty node.
Source: structured-merge-diff fieldpath, serialization of sets; KEP-555.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

Node = dict[str, Any]
FieldSet = dict[str, Node]

LEAF: Node = {}
SELF = "."
_RANK = {"f": 0, "k": 1, "v": 2, "i": 3}


def is_member(node: Node) -> bool:
    return not node or SELF in node


def as_member(node: Node | None) -> Node:
    """The node, made a member; the leaf for nothing."""
    if not node:
        return LEAF
    return node if SELF in node else {SELF: LEAF} | node


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a or not b:
        return a or b
    merged = dict(a)
    for element, node in b.items():
        mine = merged.get(element)
        merged[element] = node if mine is None else _join(mine, node)
    return merged


def _join(a: Node, b: Node) -> Node:
    if a is b:
        return a
    if not a:
        return as_member(b)
    if not b:
        return as_member(a)
    return union(a, b)


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """The members of `a` that are not members of `b`; `a` itself where nothing goes."""
    if not a or not b:
        return a
    changed = False
    kept: FieldSet = {}
    for element, node in a.items():
        other = b.get(element)
        left = node if other is None else _subtract(node, other)
        changed = changed or left is not node
        if left is not None:
            kept[element] = left
    return kept if changed else a


def _subtract(a: Node, b: Node) -> Node | None:
    """What is left of a node: itself if nothing goes, None if all goes."""
    if not a:
        return None if is_member(b) else a
    children = {e: n for e, n in a.items() if e != SELF} if SELF in a else a
    left = difference(children, b if SELF not in b else {e: n for e, n in b.items() if e != SELF})
    member = SELF in a and not is_member(b)
    if left is children and member == (SELF in a):
        return a
    if member:
        return as_member(left)
    return left or None


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    common: FieldSet = {}
    for element, node in a.items():
        other = b.get(element)
        if element != SELF and other is not None and (both := _common(node, other)) is not None:
            common[element] = both
    return common


def _common(a: Node, b: Node) -> Node | None:
    children = intersection(a, b)
    if is_member(a) and is_member(b):
        return as_member(children)
    return children or None


def without(a: FieldSet, path: tuple[str, ...]) -> FieldSet:
    """The set without a path of field names and all below it."""
    element = f"f:{path[0]}"
    if element not in a:
        return a
    rest = {e: n for e, n in a.items() if e != element}
    if len(path) > 1 and (left := without(a[element], path[1:])):
        rest[element] = left
    elif len(path) > 1 and not a[element]:
        rest[element] = a[element]
    return rest


def leaf_set(path: Iterable[str]) -> FieldSet:
    """The set of one path of field names."""
    node: Node = LEAF
    for name in reversed(list(path)):
        node = {f"f:{name}": node}
    return node


def has(a: FieldSet, path: Iterable[str]) -> bool:
    """Whether a path of field names is a member."""
    node: Node | None = a
    for name in path:
        node = node.get(f"f:{name}") if node is not None else None
    return node is not None and is_member(node)


def paths(a: FieldSet) -> Iterator[str]:
    """The members as text, `.spec.ports[port=80].name`, in Kubernetes' order: at each level members first, then what is below."""
    return _paths(a, "")


def _paths(a: FieldSet, prefix: str) -> Iterator[str]:
    elements = sorted((e for e in a if e != SELF), key=lambda e: (_RANK.get(e[0], 4), e))
    for element in elements:
        if is_member(a[element]):
            yield prefix + shown(element)
    for element in elements:
        if a[element]:
            yield from _paths(a[element], prefix + shown(element))


def shown(element: str) -> str:
    """A path element as error messages print it."""
    kind, text = element[0], element[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        return "[" + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in orjson.loads(text).items()) + "]"
    return f"[={text}]" if kind == "v" else f"[{text}]"


def checked(a: Any) -> FieldSet:
    """A set that a client sent, with its elements in canonical form; ValueError if it is none."""
    if not isinstance(a, dict):
        raise ValueError("not a set of fields")
    return {SELF if element == SELF else _canonical(element): checked(node) for element, node in a.items()}


def _canonical(element: str) -> str:
    kind, colon, text = element[:1], element[1:2], element[2:]
    if colon != ":" or kind not in _RANK:
        raise ValueError(f"unknown path element {element}")
    if kind == "f":
        return element
    value = orjson.loads(text)
    if (kind == "k" and not isinstance(value, dict)) or (kind == "i" and not isinstance(value, int)):
        raise ValueError(f"unreadable path element {element}")
    return f"{kind}:{orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()}"
