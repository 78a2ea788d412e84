"""Retention: which tables give up what, and how.

Only data tables are ever named here; the ledger and the other control tables keep all they have.
Must not know statements, connections or when it is time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_NS: Final = 86_400 * 1_000_000_000


class Way(StrEnum):
    """What is done with old rows."""

    DROP_CHUNKS = "drop"
    DELETE_ROWS = "delete"
    COMPRESS_CHUNKS = "compress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a person asked for; None asks for nothing."""

    retention_days: int | None = None
    compress_after_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One table's part of the work."""

    way: Way
    table: str
    before_ns: int
    """What is older than this time is meant."""


def plan_retention(
    terms: Terms,
    tables: Sequence[str],
    hypertables: Collection[str],
    clocks_ns: Sequence[int],
    *,
    can_compress: bool,
) -> tuple[Step, ...]:
    """Return what is to be done, removal before compression, tables in their order.

    Of several clocks the one that is behind counts: a clock that ran ahead must not cost rows.
    """
    now_ns = min(clocks_ns)
    steps: list[Step] = []
    if terms.retention_days is not None:
        before_ns = now_ns - terms.retention_days * DAY_NS
        for table in tables:
            way = Way.DROP_CHUNKS if table in hypertables else Way.DELETE_ROWS
            steps.append(Step(way=way, table=table, before_ns=before_ns))
    if terms.compress_after_days is not None and can_compress:
        before_ns = now_ns - terms.compress_after_days * DAY_NS
        steps += [
            Step(way=Way.COMPRESS_CHUNKS, table=table, before_ns=before_ns)
            for table in tables
            if table in hypertables
        ]
    return tuple(steps)
