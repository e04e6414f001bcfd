"""Regular expressions of RE2: linear time, whatever the pattern.

Python's own would let one expression hang the server, so this is a dependency: google-re2, loaded with the first pattern. Patterns and
what they match are those of Go's regexp, which is RE2 as well; its words for errors are put in their place.
"""
from __future__ import annotations

from functools import lru_cache
from typing import Any

_GO_WORDS = {"missing )": "missing closing )", "missing ]": "missing closing ]", "no argument for repetition operator": "missing argument to repetition operator",
             "bad repetition operator": "invalid nested repetition operator", "invalid perl operator": "invalid or unsupported Perl syntax",
             "invalid repetition size": "invalid repeat count", "unexpected )": "unexpected )", "trailing \\": "trailing backslash at end of expression"}


class RegexError(ValueError):
    """A pattern RE2 does not take, in Go's words."""


@lru_cache(maxsize=512)
def compile_regex(pattern: str) -> Any:
    """A compiled pattern (`search`, `finditer` of `re`). Raises RegexError."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        what, _, where = text.partition(": ")
        raise RegexError(f"error parsing regexp: {_GO_WORDS.get(what, what)}" + (f": `{where}`" if where else "")) from None
