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
    whole, _, fraction = text.partition(".")
    # Tables instead of arithmetic: they are twice as fast and hold plain digits only, so what
    # is not plain falls through to the slow path, which judges it.
    try:
        return (
            _HEADS[len(text) - len(whole)]
            + _WHOLES[whole]
            + _FRACTIONS[fraction[:4]]
            + _FRACTIONS[fraction[4:]]
        )
    except KeyError:
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


# Before the digits of a number below 10,000 with up to eight digits after the point, by what
# stands behind the whole part, the point included: a point alone is not plain.
_HEADS: dict[int, bytes] = {
    length: Struct(">ihhHh").pack(14, 3, 0, 0, max(0, length - 1)) for length in (0, *range(2, 10))
}
_WHOLES: dict[str, bytes] = {str(number): number.to_bytes(2, "big") for number in range(10_000)}
_FRACTIONS: dict[str, bytes] = {"": b"\0\0"} | {
    f"{number:0{width}d}": (number * 10 ** (4 - width)).to_bytes(2, "big")
    for width in range(1, 5)
    for number in range(10**width)
}
