"""Quantities: "500m", "1.5Gi", "1e6"; parsed exactly, written in canonical form, each within its format family.

A quantity is `mantissa * 10**exponent` with a family: DecimalSI (n u m k M G T P E), BinarySI (Ki Mi Gi Ti Pi Ei) or
DecimalExponent (e3, E-6). Text that is already canonical enough is kept as sent, which is why "1e6", "+5M" and "01Gi" survive
while "0.5" becomes "500m" and "1024Mi" becomes "1Gi". Values finer than a nano are rounded away from zero, binary ones are
capped at 2**63-1. Source: apimachinery resource.Quantity as its API documentation describes it.
"""
from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

DECIMAL_SI, BINARY_SI, DECIMAL_EXPONENT = "DecimalSI", "BinarySI", "DecimalExponent"
INT64_MAX = 2**63 - 1
_NANO = -9
_DIGITS_OF_INT64 = 18
_HUGE = 400
"""Exponents beyond this only ever saturate, so that no text makes us raise ten to the billionth power."""

_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAMES = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_BINARY_NAMES = {exponent: suffix for suffix, exponent in _BINARY_SUFFIXES.items()} | {0: ""}

FORMAT_WRONG = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX_WRONG = "unable to parse quantity's suffix"

_grammar = re.compile(r"([+-]?)0*+([0-9]*+)(?:\.([0-9]*+))?+([eEinumkKMGTP]*+[-+]?[0-9]*+)").fullmatch
_exponent = re.compile(r"[eE]([+-]?[0-9]+)").fullmatch


class QuantityError(ValueError):
    """Text that is no quantity; the message is Kubernetes'."""


class Quantity(NamedTuple):
    """`mantissa * 10**exponent`; `text` is what was sent where that is kept, otherwise empty."""

    mantissa: int
    exponent: int
    format: str
    text: str = ""

    def __str__(self) -> str:
        return self.text or _canonical(self)

    def scaled(self, scale: int) -> int:
        """The value in units of 10**scale, rounded away from zero, capped to 64 bits."""
        shift = min(self.exponent - scale, _HUGE)
        if shift >= 0:
            value = self.mantissa * 10**shift
        elif shift < -_HUGE:
            value = (self.mantissa > 0) - (self.mantissa < 0)
        else:
            magnitude = -(-abs(self.mantissa) // 10**-shift)
            value = magnitude if self.mantissa >= 0 else -magnitude
        return max(-INT64_MAX - 1, min(INT64_MAX, value))

    def is_multiple_of(self, scale: int) -> bool:
        """Whether the value is a whole number of units of 10**scale."""
        return self.exponent >= scale or self.mantissa % 10 ** min(scale - self.exponent, _HUGE) == 0


def _interpret(suffix: str) -> tuple[int, str]:
    """The exponent, of ten or of two, and the family of a suffix."""
    if suffix in _DECIMAL_SUFFIXES:
        return _DECIMAL_SUFFIXES[suffix], DECIMAL_SI
    if suffix in _BINARY_SUFFIXES:
        return _BINARY_SUFFIXES[suffix], BINARY_SI
    match = _exponent(suffix)
    if match is None or len(match[1]) > 10 or not -(2**31) <= int(match[1]) < 2**31:
        raise QuantityError(SUFFIX_WRONG)
    return int(match[1]), DECIMAL_EXPONENT


def _is_kept(family: str, exponent: int, scale: int, digits: str) -> bool:
    """Whether text with these digits counts as canonical and is kept as sent."""
    if family == BINARY_SI:
        return exponent % 10 == 0 and int(digits) & 7 != 0
    return scale % 3 == 0 and not digits.endswith("000") and not digits.startswith("0")


@lru_cache(maxsize=8192)
def parse(text: str) -> Quantity:
    """The quantity of a text. Raises QuantityError."""
    if text == "0":
        return Quantity(0, 0, DECIMAL_SI, "0")
    match = _grammar(text)
    if not match or not text:
        raise QuantityError(FORMAT_WRONG)
    sign, whole, fraction, suffix = match[1], match[2] or "0", match[3] or "", match[4]
    exponent, family = _interpret(suffix)
    if len(whole) + len(fraction) > 4000:
        raise QuantityError("unable to parse numeric part of quantity")
    digits = whole + fraction
    scale = (0 if family == BINARY_SI else exponent) - len(fraction)
    value = int(digits) * (1 << exponent if family == BINARY_SI else 1)
    signed = -value if sign == "-" else value
    if _fits(family, exponent, whole, fraction, scale) and value <= INT64_MAX:
        return Quantity(signed, scale, family, text if _is_kept(family, exponent, scale, digits) else "")
    return _rounded(signed, scale, family)


def _fits(family: str, exponent: int, whole: str, fraction: str, scale: int) -> bool:
    """Whether the number is kept as a scaled 64-bit integer, the form in which text may be kept."""
    if family == BINARY_SI:
        return not fraction and 15 - len(whole) - int(exponent * 3 / 10) - 1 >= 0
    return len(whole) + len(fraction) <= _DIGITS_OF_INT64 and scale >= _NANO


def _rounded(mantissa: int, scale: int, family: str) -> Quantity:
    """A number beyond 64 bits or finer than a nano: rounded to nano, capped in the binary family."""
    if scale < _NANO and mantissa:
        mantissa, scale = _round_away(mantissa, _NANO - scale), _NANO
    if family == BINARY_SI and mantissa:
        magnitude = abs(mantissa)
        if magnitude > INT64_MAX * 10**-scale:
            mantissa, scale = INT64_MAX if mantissa > 0 else -INT64_MAX, 0
        elif magnitude < 10**-scale:
            family = DECIMAL_SI
    return Quantity(mantissa, scale, family)


def _round_away(mantissa: int, digits: int) -> int:
    """`mantissa` without its last `digits` digits, rounded away from zero."""
    magnitude = 1 if digits > 5000 else -(-abs(mantissa) // 10**digits)
    return magnitude if mantissa > 0 else -magnitude


def _without_zeros(mantissa: int, exponent: int) -> tuple[int, int]:
    """The same number with the greatest exponent that is a multiple of three."""
    while mantissa % 10 == 0:
        mantissa, exponent = mantissa // 10, exponent + 1
    spare = exponent % 3
    return mantissa * 10**spare, exponent - spare


def _canonical(quantity: Quantity) -> str:
    mantissa, exponent, family, _ = quantity
    if not mantissa:
        return "0"
    if family == BINARY_SI:
        if quantity.is_multiple_of(0) and abs(quantity.scaled(0)) >= 1024:
            return _canonical_binary(quantity.scaled(0))
        family = DECIMAL_SI
    mantissa, exponent = _without_zeros(mantissa, exponent)
    if family == DECIMAL_SI and exponent in _DECIMAL_NAMES:
        return f"{mantissa}{_DECIMAL_NAMES[exponent]}"
    return f"{mantissa}e{exponent}" if exponent else str(mantissa)


def _canonical_binary(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < 60:
        value, power = value // 1024, power + 10
    return f"{value}{_BINARY_NAMES[power]}"


def _text(value: str | int | float) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        raise QuantityError(FORMAT_WRONG)
    return str(value) if isinstance(value, (int, float)) else ""


def of(value: str | int | float) -> Quantity:
    """The quantity of a JSON value. Raises QuantityError."""
    return parse(_text(value))


@lru_cache(maxsize=8192)
def _canonical_text(text: str) -> str:
    return str(parse(text))


def canonical(value: str | int | float) -> str:
    """The text under which a quantity is stored and served. Raises QuantityError with Kubernetes' message."""
    return _canonical_text(_text(value))


def rounded_to_milli(value: str | int | float) -> str:
    """The canonical text, rounded away from zero to thousandths: how lists of resources are stored."""
    quantity = of(value)
    if quantity.exponent >= -3:
        return str(quantity)
    return _canonical(Quantity(_round_away(quantity.mantissa, -3 - quantity.exponent) if quantity.mantissa else 0, -3, quantity.format))


def to_int(value: str | int | float) -> int:
    """Whole units, rounded away from zero."""
    return of(value).scaled(0)


def to_milli(value: str | int | float) -> int:
    """Thousandths, rounded away from zero."""
    return of(value).scaled(-3)


def is_fractional(value: str | int | float) -> bool:
    """Whether this is not a whole number, as far as thousandths tell; False for what is no quantity."""
    try:
        return to_milli(value) % 1000 != 0
    except QuantityError:
        return False


def as_decimal(value: str | int | float) -> Decimal:
    """The exact value; exponents saturate."""
    quantity = of(value)
    return Decimal(quantity.mantissa).scaleb(max(-_HUGE, min(_HUGE, quantity.exponent)))


def sign(value: str | int | float) -> int:
    """-1, 0 or 1."""
    mantissa = of(value).mantissa
    return (mantissa > 0) - (mantissa < 0)


def compare(a: str | int | float, b: str | int | float) -> int:
    """-1, 0 or 1 as `a` is less than, equal to or greater than `b`."""
    x, y = _aligned(of(a), of(b))[:2]
    return (x > y) - (x < y)


def _aligned(a: Quantity, b: Quantity) -> tuple[int, int, int]:
    """Both mantissas at the smaller exponent, and that exponent."""
    low = min(a.exponent, b.exponent) if a.mantissa and b.mantissa else a.exponent if a.mantissa else b.exponent
    return (a.mantissa * 10 ** min(max(a.exponent - low, 0), _HUGE), b.mantissa * 10 ** min(max(b.exponent - low, 0), _HUGE), low)


def add(a: str | int | float, b: str | int | float) -> str:
    """The canonical sum, in the family of `a` unless `a` is zero."""
    x, y = of(a), of(b)
    left, right, low = _aligned(x, y)
    return _canonical(Quantity(left + right, low, x.format if x.mantissa else y.format))


def sub(a: str | int | float, b: str | int | float) -> str:
    """The canonical difference, in the family of `a` unless `a` is zero."""
    x, y = of(a), of(b)
    left, right, low = _aligned(x, y)
    return _canonical(Quantity(left - right, low, x.format if x.mantissa else y.format))
