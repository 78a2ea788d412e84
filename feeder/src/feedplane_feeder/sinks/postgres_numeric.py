"""Decimal text to PostgreSQL's binary `numeric`, digit for digit.

A numeric on the wire is a run of base-10000 digits with the weight of the first one and
`dscale`, the count of digits printed after the point, so trailing zeros survive. The server
strips leading and trailing zero digits itself, which makes the fast path one fixed layout.
Must not know tables or connections.

Source: PostgreSQL, src/backend/utils/adt/numeric.c, `numeric_recv` (read 2026-11-21).
"""

import re
from struct import Struct

CACHED_NUMBERS = 32_768
"""How many texts are remembered; prices and round sizes repeat a great deal."""
LONGEST_TEXT = 128
"""No venue prints more; it bounds the memory of the cache."""

_NEGATIVE = 0x4000
_PLAIN = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII).fullmatch
_EIGHT_AND_EIGHT = Struct(">ihhHhHHHH").pack


class UnprintableNumberError(ValueError):
    """Text that a numeric column could not give back digit for digit."""


class NumericCache(dict[str, bytes]):
    """Encoded column values (length included) by decimal text; computes what it lacks."""

    def __missing__(self, text: str) -> bytes:
        if len(self) >= CACHED_NUMBERS:
            self.clear()
        encoded = self[text] = encode_numeric(text)
        return encoded


def encode_numeric(text: str) -> bytes:
    """Encode plain decimal text as a binary COPY column, its length in front.

    Raises:
        UnprintableNumberError: not plain (sign, exponent, stray zeros) or too long.
    """
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    # Eight digits before and after the point: nearly every price and size there is.
    if (
        len(whole) <= 8
        and len(fraction) <= 8
        and digits.isdecimal()
        and digits.isascii()
        and (whole[0:1] != "0" or whole == "0")
        and whole
        and (fraction or not point)
    ):
        high, low = divmod(int(whole), 10_000)
        scale = len(fraction)
        third, fourth = divmod(int(fraction) * _LIFT[scale], 10_000) if scale else (0, 0)
        return _EIGHT_AND_EIGHT(16, 4, 1, 0, scale, high, low, third, fourth)
    return _encode_any(text)


def _encode_any(text: str) -> bytes:
    match = _PLAIN(text) if len(text) <= LONGEST_TEXT else None
    if match is None:
        raise UnprintableNumberError(f"Expected plain decimal text, was {text[:40]!r}")
    sign, whole, fraction = match.groups("")
    whole_count = (len(whole) + 3) // 4
    fraction_count = (len(fraction) + 3) // 4
    padded = whole.zfill(whole_count * 4) + fraction.ljust(fraction_count * 4, "0")
    digits = [int(padded[start : start + 4]) for start in range(0, len(padded), 4)]
    if sign and not any(digits):
        raise UnprintableNumberError(f"Expected a number that prints itself, was {text!r}")
    count = len(digits)
    return Struct(f">ihhHh{count}H").pack(
        8 + 2 * count, count, whole_count - 1, _NEGATIVE if sign else 0, len(fraction), *digits
    )


_LIFT = tuple(10 ** (8 - scale) for scale in range(9))
