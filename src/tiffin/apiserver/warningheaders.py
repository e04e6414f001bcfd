"""The Warning headers of an answer: what a client is told beside it. Source: RFC 7234, section 5.5; apiserver `warning.Recorder`.

Warnings also come from webhooks and policies of others, so they are bounded: when all together are longer than `MOST`, each is cut to
`MOST_OF_ONE` characters, and those after `MOST` are left out.
"""
from __future__ import annotations

from collections.abc import Iterable

MOST, MOST_OF_ONE = 4096, 256


def warning_headers(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The headers for these warnings; doubled ones are said once."""
    return tuple(("Warning", f"299 - {quoted(text)}") for text in bounded(dict.fromkeys(text for text in texts if text)))


def bounded(texts: Iterable[str]) -> list[str]:
    """The warnings as far as they are told."""
    texts = list(texts)
    if sum(map(len, texts)) <= MOST:
        return texts
    told: list[str] = []
    written = 0
    for text in texts:
        if written >= MOST:
            break
        told.append(text[:MOST_OF_ONE])
        written += len(told[-1])
    return told


def quoted(text: str) -> str:
    """A warn-text: quoted, escaped, without control characters."""
    clean = "".join(c for c in text if c >= " " and c != "\x7f")
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'
