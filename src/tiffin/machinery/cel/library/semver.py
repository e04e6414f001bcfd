"""Semantic versions: semver, isSemver (normalizing if asked), major, minor, patch and comparisons.

Source: Kubernetes' semver library; semver.org 2.0.0. Normalizing drops a leading "v", adds missing minor and patch numbers and drops
leading zeros.
"""
from __future__ import annotations

import re

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.types import Type, struct
from tiffin.machinery.cel.values import UINT_MAX

SEMVER_TYPE = struct("kubernetes.Semver", {})
SEMVER = Library([SEMVER_TYPE])

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_version = re.compile(rf"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?", re.ASCII).fullmatch

Precedence = tuple[tuple[int, int, int], int, tuple[tuple[int, int, str], ...]]


class SemverValue:
    """A version; build metadata neither orders nor tells apart."""

    __slots__ = ("cel_type", "numbers", "precedence")

    def __init__(self, numbers: tuple[int, int, int], prerelease: str) -> None:
        self.cel_type: Type = SEMVER_TYPE
        self.numbers = numbers
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease.split(".")) if prerelease else ()
        self.precedence: Precedence = (numbers, 0 if prerelease else 1, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SemverValue) and self.precedence == other.precedence

    __hash__ = None  # type: ignore[assignment]


def _normalized(text: str) -> str:
    text = text.removeprefix("v")
    cut = min((position for mark in "-+" if (position := text.find(mark)) >= 0), default=len(text))
    numbers, rest = text[:cut].split("."), text[cut:]
    if len(numbers) < 3 and rest:
        return text
    numbers = [number.lstrip("0") or "0" if number else number for number in numbers]
    return ".".join(numbers + ["0"] * (3 - len(numbers))) + rest


def _leads_with_zero(number: str) -> bool:
    return len(number) > 1 and number[0] == "0" and number.isdigit()


def _parse(text: str, normalize: bool = False) -> SemverValue:
    if normalize:
        text = _normalized(text)
    if not text:
        raise EvaluationError("Version string empty")
    match = _version(text)
    if match is None:
        raise EvaluationError("No Major.Minor.Patch elements found" if text.count(".") < 2 else f"Invalid character(s) found in version \"{text}\"")
    for number in (match[1], match[2], match[3]):
        if _leads_with_zero(number):
            raise EvaluationError(f'Version number must not contain leading zeroes "{number}"')
        if len(number) > 20 or int(number) > UINT_MAX:
            raise EvaluationError(f'strconv.ParseUint: parsing "{number}": value out of range')
    for part in (match[4] or "").split("."):
        if _leads_with_zero(part):
            raise EvaluationError(f'Numeric PreRelease version must not contain leading zeroes "{part}"')
    return SemverValue((int(match[1]), int(match[2]), int(match[3])), match[4] or "")


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        return bool(_parse(text, normalize))
    except EvaluationError:
        return False


def _compare(one: SemverValue, other: SemverValue) -> int:
    return (one.precedence > other.precedence) - (one.precedence < other.precedence)


_add = SEMVER.add
_NAME = "kubernetes.Semver"
_add("semver", "string_to_semver", f"(string) -> {_NAME}", _parse)
_add("semver", "string_bool_to_semver", f"(string, bool) -> {_NAME}", _parse)
_add("isSemver", "is_semver_string", "(string) -> bool", _is_semver)
_add("isSemver", "is_semver_string_bool", "(string, bool) -> bool", _is_semver)
_add("major", "semver_major", f"{_NAME}.() -> int", lambda value: value.numbers[0])
_add("minor", "semver_minor", f"{_NAME}.() -> int", lambda value: value.numbers[1])
_add("patch", "semver_patch", f"{_NAME}.() -> int", lambda value: value.numbers[2])
_add("isGreaterThan", "semver_is_greater_than", f"{_NAME}.({_NAME}) -> bool", lambda one, other: _compare(one, other) > 0)
_add("isLessThan", "semver_is_less_than", f"{_NAME}.({_NAME}) -> bool", lambda one, other: _compare(one, other) < 0)
_add("compareTo", "semver_compare_to", f"{_NAME}.({_NAME}) -> int", _compare)
