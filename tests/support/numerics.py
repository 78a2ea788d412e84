"""Numbers in PostgreSQL's binary form, printed as the server prints them."""

import struct


def print_numeric(data: bytes) -> str:
    """Print a binary numeric as PostgreSQL does."""
    length, count, weight, sign, scale = struct.unpack(">ihhHh", data[:12])
    assert length == len(data) - 4
    digits = struct.unpack(f">{count}H", data[12:])
    assert all(digit < 10_000 for digit in digits)
    value = 0
    for digit in digits:
        value = value * 10_000 + digit
    # The value times 10 to the scale; digits behind the scale must be zero.
    shift = scale + 4 * (weight - count + 1)
    if shift >= 0:
        value *= 10**shift
    else:
        value, rest = divmod(value, 10**-shift)
        assert rest == 0
    text = str(value).zfill(scale + 1)
    whole, fraction = (text[:-scale], text[-scale:]) if scale else (text, "")
    return ("-" if sign == 0x4000 else "") + whole + ("." + fraction if scale else "")
