"""Kubernetes quantities, so that `0.5` and `500m` are the same amount."""

from decimal import Decimal, InvalidOperation
from functools import lru_cache

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


@lru_cache(maxsize=1024)
def parse_quantity(text: str) -> Decimal | None:
    """Return the amount a quantity stands for, or None where the text is not one."""
    number = text.rstrip("numkKMGTPEi")
    scale = _SUFFIXES.get(text[len(number) :])
    if scale is None:
        return None
    try:
        return Decimal(number) * scale
    except InvalidOperation:
        return None


def same_quantity(one: object, other: object) -> bool:
    """Return whether two values, as YAML or JSON give them, are the same amount."""
    first, second = parse_quantity(str(one)), parse_quantity(str(other))
    return first is not None and first == second
