"""Text of a syntax tree without macros, to see that parsing it gives the tree back."""
from __future__ import annotations

from typing import Any

from tiffin.machinery.cel.ast import Call, Ident, ListExpr, Literal, MapExpr, Node, Select
from tiffin.machinery.cel.values import Uint

_OPERATORS = {"_||_", "_&&_", "_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_", "_+_", "_-_", "_*_", "_/_", "_%_"}


def shape(node: Node) -> Any:
    """The tree as nested tuples, without positions."""
    match node:
        case Literal():
            return (type(node.value).__name__, repr(node.value))
        case Ident():
            return node.name
        case Select():
            return ("select", shape(node.operand), node.field)
        case Call():
            return (node.function, node.target and shape(node.target), *map(shape, node.args))
        case ListExpr():
            return ("list", *map(shape, node.elements))
        case MapExpr():
            return ("map", *((shape(entry.key), shape(entry.value)) for entry in node.entries))
    raise TypeError(node)


def text(node: Node) -> str:
    """The tree as an expression, everything in brackets."""
    match node:
        case Literal():
            return _literal(node.value)
        case Ident():
            return node.name
        case Select():
            return f"({text(node.operand)}).{node.field}"
        case Call():
            return _call(node)
        case ListExpr():
            return "[" + ", ".join(map(text, node.elements)) + "]"
        case MapExpr():
            return "{" + ", ".join(f"{text(entry.key)}: {text(entry.value)}" for entry in node.entries) + "}"
    raise TypeError(node)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    if isinstance(value, bytes):
        return 'b"' + "".join(f"\\x{byte:02x}" for byte in value) + '"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{int(value)}u" if isinstance(value, Uint) else repr(value)


def _call(node: Call) -> str:
    args = list(map(text, node.args))
    if node.function in _OPERATORS:
        return f"({args[0]}) {node.function[1:-1]} ({args[1]})"
    if node.function == "@in":
        return f"({args[0]}) in ({args[1]})"
    if node.function == "_?_:_":
        return f"({args[0]}) ? ({args[1]}) : ({args[2]})"
    if node.function in ("!_", "-_"):
        return f"{node.function[0]}({args[0]})"
    if node.function == "_[_]":
        return f"({args[0]})[{args[1]}]"
    called = f"{node.function}({', '.join(args)})"
    return f"({text(node.target)}).{called}" if node.target is not None else called
