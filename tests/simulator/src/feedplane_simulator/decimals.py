"""Scaled integers to the venue's decimal text and back; a float never touches a price."""


def format_scaled(value: int, scale: int) -> str:
    """Write `value / 10**scale` with exactly `scale` decimals."""
    if scale == 0:
        return str(value)
    if value < 0:
        return "-" + format_scaled(-value, scale)
    digits = str(value)
    if len(digits) <= scale:
        digits = digits.zfill(scale + 1)
    return f"{digits[:-scale]}.{digits[-scale:]}"


def parse_scaled(text: str, scale: int) -> int:
    """Read decimal text as an integer scaled by `10**scale`.

    Raises:
        ValueError: the text has more decimals than the scale holds.
    """
    whole, _, fraction = text.partition(".")
    if len(fraction.rstrip("0")) > scale:
        raise ValueError(f"Expected at most {scale} decimals, was {text}")
    return int(whole + fraction[:scale].ljust(scale, "0"))
