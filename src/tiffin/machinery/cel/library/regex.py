"""find and findAll: what a pattern matches. Source: Kubernetes' regex library."""
from __future__ import annotations

from typing import Any

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.regex import RegexError, compile_regex

REGEX = Library()


def _compiled(pattern: str) -> Any:
    try:
        return compile_regex(pattern)
    except RegexError as error:
        raise EvaluationError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    match = _compiled(pattern).search(text)
    return str(match[0]) if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in _compiled(pattern).finditer(text):
        if len(found) == limit:
            break
        found.append(match[0])
    return found


REGEX.add("find", "string_find_string", "string.(string) -> string", _find)
REGEX.add("findAll", "string_find_all_string", "string.(string) -> list(string)", _find_all)
REGEX.add("findAll", "string_find_all_string_int", "string.(string, int) -> list(string)", _find_all)
