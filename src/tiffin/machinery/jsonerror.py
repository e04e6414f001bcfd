"""What Go's JSON scanner says of a document that does not parse. Only asked once a document is known to be wrong.

Source: encoding/json scanner.go, its states and the words of its syntax errors.
"""
from __future__ import annotations

import re

_space = re.compile(r"[ \t\r\n]*")
_string = re.compile(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
_number = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_ENDED = "unexpected end of JSON input"
_DEEPEST = 10_000


def complaint(text: str) -> str:
    """Go's error for a document, "" where it finds none."""
    position, expect = 0, "value"
    open_: list[str] = []
    while True:
        position = _space.match(text, position).end()  # type: ignore[union-attr]
        if position == len(text):
            return "" if expect == "end" else _ENDED
        char = text[position]
        if expect == "end":
            return _invalid(char, "after top-level value")
        if expect in ("key", "key or }"):
            if char == "}" and expect == "key or }":
                position, expect = position + 1, _closed(open_)
                continue
            if char != '"':
                return _invalid(char, "looking for beginning of object key string")
            position, wrong = _read_string(text, position)
            if wrong:
                return wrong
            expect = ":"
        elif expect == ":":
            if char != ":":
                return _invalid(char, "after object key")
            position, expect = position + 1, "value"
        elif expect == "more":
            if char == ",":
                position, expect = position + 1, "key" if open_[-1] == "{" else "value"
            elif char == {"{": "}", "[": "]"}[open_[-1]]:
                position, expect = position + 1, _closed(open_)
            else:
                return _invalid(char, "after object key:value pair" if open_[-1] == "{" else "after array element")
        elif char == "]" and expect == "value or ]":
            position, expect = position + 1, _closed(open_)
        elif char in "{[":
            open_.append(char)
            if len(open_) > _DEEPEST:
                return "exceeded max depth"
            position, expect = position + 1, "key or }" if char == "{" else "value or ]"
        else:
            position, wrong = _read_string(text, position) if char == '"' else _read_literal(text, position)
            if wrong:
                return wrong
            expect = "more" if open_ else "end"


def _closed(open_: list[str]) -> str:
    open_.pop()
    return "more" if open_ else "end"


def _invalid(char: str, context: str) -> str:
    shown = {"'": r"'\''", '"': "'\"'", "\\": r"'\\'", "\n": r"'\n'", "\t": r"'\t'", "\r": r"'\r'", "\x00": r"'\x00'"}.get(char, f"'{char}'")
    return f"invalid character {shown} {context}"


def _read_string(text: str, start: int) -> tuple[int, str]:
    end = _string.match(text, start).end()  # type: ignore[union-attr]
    if end == len(text):
        return end, _ENDED
    if text[end] == '"':
        return end + 1, ""
    if text[end] != "\\":
        return end, _invalid(text[end], "in string literal")
    if end + 1 == len(text):
        return end, _ENDED
    if text[end + 1] != "u":
        return end, _invalid(text[end + 1], "in string escape code")
    wrong = next((c for c in text[end + 2:end + 6] if c not in "0123456789abcdefABCDEF"), "")
    return end, _invalid(wrong, r"in \u hexadecimal character escape") if wrong else _ENDED


def _read_literal(text: str, start: int) -> tuple[int, str]:
    for word in ("true", "false", "null"):
        if text[start] == word[0]:
            for offset, expected in enumerate(word):
                if start + offset == len(text):
                    return start, _ENDED
                if text[start + offset] != expected:
                    return start, _invalid(text[start + offset], f"in literal {word} (expecting '{expected}')")
            return start + len(word), ""
    if match := _number.match(text, start):
        end = match.end()
        if end < len(text) and text[end] in ".eE":
            return end, _unfinished(text, end)
        return end, ""
    if text[start] == "-":
        return start, _invalid(text[start + 1], "in numeric literal") if start + 1 < len(text) else _ENDED
    return start, _invalid(text[start], "looking for beginning of value")


def _unfinished(text: str, end: int) -> str:
    """A number that stops at its point or exponent."""
    sign = 2 if text[end] in "eE" and text[end + 1:end + 2] in ("+", "-") else 1
    if end + sign >= len(text):
        return _ENDED
    return _invalid(text[end + sign], "after decimal point in numeric literal" if text[end] == "." else "in exponent of numeric literal")
