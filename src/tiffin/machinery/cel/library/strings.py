"""Text: charAt, indexOf, lastIndexOf, join, lowerAscii, upperAscii, replace, split, substring, trim, format, strings.quote.

Positions are code points. Source: cel-go ext/strings version 2.
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.cel.errors import CostExceeded, EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.library.format import formatted

STRINGS = Library()
MAX_RESULT = 10_000_000
"""Code points one call may make of its arguments: beyond that its cost would exceed any budget."""

_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def _out_of_range(position: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {position}")


def _char_at(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise _out_of_range(position)
    return text[position:position + 1]


def _index_of(text: str, wanted: str, start: int = 0) -> int:
    if not wanted:
        return start
    if not 0 <= start < len(text):
        if start == 0:
            return -1
        raise _out_of_range(start)
    return text.find(wanted, start)


def _last_index_of(text: str, wanted: str, start: int | None = None) -> int:
    if not wanted:
        return len(text) if start is None else start
    if start is None:
        return text.rfind(wanted)
    if not 0 <= start < len(text):
        raise _out_of_range(start)
    return text.rfind(wanted, 0, start + len(wanted))


def _join(items: list[Any], separator: str = "") -> str:
    if not all(isinstance(item, str) for item in items):
        raise EvaluationError("no such overload")
    return separator.join(items)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    count = len(text) + 1 if not old else text.count(old)
    if limit >= 0:
        count = min(count, limit)
    if len(text) + count * len(new) > MAX_RESULT:
        raise CostExceeded
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    pieces = list(text)
    return pieces if limit < 0 or len(pieces) <= limit else [*pieces[:limit - 1], "".join(pieces[limit - 1:])]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        end = len(text)
        if not 0 <= start <= end:
            raise _out_of_range(start)
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for position in (start, end):
        if not 0 <= position <= len(text):
            raise _out_of_range(position)
    return text[start:end]


def _quote(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


STRINGS.add("charAt", "string_char_at_int", "string.(int) -> string", _char_at)
STRINGS.add("indexOf", "string_index_of_string", "string.(string) -> int", _index_of)
STRINGS.add("indexOf", "string_index_of_string_int", "string.(string, int) -> int", _index_of)
STRINGS.add("lastIndexOf", "string_last_index_of_string", "string.(string) -> int", _last_index_of)
STRINGS.add("lastIndexOf", "string_last_index_of_string_int", "string.(string, int) -> int", _last_index_of)
STRINGS.add("join", "list_join", "list(string).() -> string", _join)
STRINGS.add("join", "list_join_string", "list(string).(string) -> string", _join)
STRINGS.add("lowerAscii", "string_lower_ascii", "string.() -> string", lambda text: text.translate(_LOWER))
STRINGS.add("upperAscii", "string_upper_ascii", "string.() -> string", lambda text: text.translate(_UPPER))
STRINGS.add("replace", "string_replace_string_string", "string.(string, string) -> string", _replace)
STRINGS.add("replace", "string_replace_string_string_int", "string.(string, string, int) -> string", _replace)
STRINGS.add("split", "string_split_string", "string.(string) -> list(string)", _split)
STRINGS.add("split", "string_split_string_int", "string.(string, int) -> list(string)", _split)
STRINGS.add("substring", "string_substring_int", "string.(int) -> string", _substring)
STRINGS.add("substring", "string_substring_int_int", "string.(int, int) -> string", _substring)
STRINGS.add("trim", "string_trim", "string.() -> string", lambda text: text.strip(_SPACE))
STRINGS.add("strings.quote", "strings_quote", "(string) -> string", _quote)
STRINGS.add("format", "string_format", "string.(list(dyn)) -> string", formatted)
