"""Globs over a venue's instrument list; the same answer in operator and feeder.

Must not know where the list came from.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def expand_selector(
    include: Sequence[str], exclude: Sequence[str], max_instruments: int, listed: Iterable[str]
) -> tuple[str, ...]:
    """Return the listed symbols that match any include and no exclude, sorted, at most the maximum.

    Matching ignores case, since venues spell their symbols both ways.
    """
    wanted = [pattern.upper() for pattern in include]
    unwanted = [pattern.upper() for pattern in exclude]
    matching = (
        symbol
        for symbol in sorted(set(listed))
        if any(fnmatchcase(symbol.upper(), pattern) for pattern in wanted)
        and not any(fnmatchcase(symbol.upper(), pattern) for pattern in unwanted)
    )
    return tuple(symbol for symbol, _ in zip(matching, range(max_instruments), strict=False))
