"""From text to tokens, and literals to their values.

Source: cel-spec "Syntax" and "String and Bytes Values". Positions are code points.
"""
from __future__ import annotations

import re
from typing import NamedTuple

from tiffin.machinery.cel.errors import Report, Source

_token = re.compile(r"""
    (?P<space>(?:[ \t\r\n\f]+|//[^\n]*)+)
  | (?P<text>(?:[rR]?[bB]|[bB]?[rR]|)(?:\"\"\"|'''|"|'))
  | (?P<float>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
  | (?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<op>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])
""", re.VERBOSE).match


def _body(quote: str, raw: bool) -> re.Pattern[str]:
    char = "." if len(quote) == 3 else r"[^\n\r]"
    piece = rf"(?!{quote}){char}" if raw else rf"\\{char}|(?!{quote}|\\){char}"
    return re.compile(f"((?:{piece})*+){quote}", re.DOTALL)


_bodies = {(quote, raw): _body(quote, raw).match for quote in ("'", '"', "'''", '"""') for raw in (False, True)}
_escape = re.compile(r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))", re.DOTALL)
_SIMPLE = dict(zip("abfnrtv", "\a\b\f\n\r\t\v"))
_WORDS = """as break const continue else false for function if import in let loop package namespace null return true var void while"""
RESERVED = frozenset(_WORDS.split())
"""Words that are no identifiers."""
_KEYWORDS = {"true", "false", "null", "in"}


class Token(NamedTuple):
    """`kind` is int, uint, float, string, bytes, ident, end, or the operator or keyword itself; `value` a literal's content."""

    kind: str
    text: str
    offset: int
    value: str | bytes | None = None


class LiteralError(ValueError):
    """A literal without a value."""


def tokens(source: Source) -> list[Token]:
    """All tokens, and an end. Raises CompilationError where no token can begin."""
    text, position, found = source.text, 0, []
    while position < len(text):
        match = _token(text, position)
        if match is None:
            raise source.failure([Report(position, f"Syntax error: token recognition error at: '{text[position]}'")])
        kind, start, position = str(match.lastgroup), position, match.end()
        if kind == "text":
            token = _text(source, match[0], start, position)
            position = start + len(token.text)
            found.append(token)
        elif kind == "op" or match[0] in _KEYWORDS:
            found.append(Token(match[0], match[0], start))
        elif kind != "space":
            found.append(Token(kind, match[0], start))
    found.append(Token("end", "<EOF>", len(text)))
    return found


def _text(source: Source, opening: str, start: int, body: int) -> Token:
    prefix = opening.rstrip("'\"").lower()
    quote = opening[len(prefix):]
    match = _bodies[quote, "r" in prefix](source.text, body)
    if match is None:
        rest = source.text[start:].split("\n")[0]
        raise source.failure([Report(start, f"Syntax error: token recognition error at: '{rest}'")])
    raw, binary = match[1], "b" in prefix
    try:
        value = raw.encode() if binary and "r" in prefix else raw if "r" in prefix else _bytes(raw) if binary else _string(raw)
    except LiteralError as error:
        raise source.failure([Report(start, str(error))]) from error
    return Token("bytes" if binary else "string", source.text[start:match.end()], start, value)


def _string(raw: str) -> str:
    return _escape.sub(_character, raw) if "\\" in raw else raw


def _character(match: re.Match[str]) -> str:
    simple, two, four, eight, octal, _ = match.groups()
    if simple:
        return _SIMPLE.get(simple, simple)
    digits = two or four or eight
    if not digits and not octal:
        raise LiteralError(f"invalid unicode escape sequence: {match[0]}")
    code = int(digits, 16) if digits else int(octal, 8)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise LiteralError("invalid unicode code point")
    return chr(code)


def _bytes(raw: str) -> bytes:
    made = bytearray()
    end = 0
    for match in _escape.finditer(raw):
        made += raw[end:match.start()].encode()
        end = match.end()
        simple, two, four, eight, octal, _ = match.groups()
        if simple:
            made += _SIMPLE.get(simple, simple).encode()
        elif two or octal:
            made.append(int(two, 16) if two else int(octal, 8))
        elif four or eight:
            raise LiteralError("\\u and \\U are not allowed in bytes")
        else:
            raise LiteralError(f"invalid escape sequence: {match[0]}")
    return bytes(made + raw[end:].encode())
