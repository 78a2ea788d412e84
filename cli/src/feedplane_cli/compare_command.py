"""`feedplane compare`: a tape against a reference table, by counts and digests per day."""

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import asyncpg
import yaml
from rich.table import Table

from feedplane_cli.clock import utc_now
from feedplane_cli.core.comparison import (
    Agreement,
    Comparison,
    DayComparison,
    DayKey,
    Digest,
    compare_rows,
    find_suspects,
    judge_days,
    parse_tolerance,
    sum_up,
)
from feedplane_cli.core.feed_view import describe
from feedplane_cli.core.ranges import parse_range
from feedplane_cli.core.reference_table import (
    Side,
    check_suffix,
    layout_of,
    parse_names,
    reference_side,
    split_table,
    tape_side,
)
from feedplane_cli.database import Database, open_database, translated
from feedplane_cli.errors import ExitStatus, RefusedError
from feedplane_cli.render.quality import say_day
from feedplane_cli.tape_reading import as_ns
from feedplane_cli.terminal import Output, draw, make_console, say, write_plain

SHOWN_DAYS: Final = 50
_COLUMNS: Final = """
select column_name, data_type from information_schema.columns
where table_schema = $1 and table_name = $2
"""
Arguments = tuple[Any, Any, list[str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareChoice:
    """What a person wants compared."""

    reference: str
    channel: str
    start: str
    end: str
    instruments: tuple[str, ...]
    schema: str
    names: tuple[str, ...]
    """Columns that are called otherwise there, as `ts_open=open_time`."""
    suffix: str
    """What follows the dot of an instrument's identity where the reference has symbols."""
    tolerance: str


async def compare_tape(
    choice: CompareChoice, tape: Database, reference: Database | None, output: Output
) -> ExitStatus:
    """Compare, show it, and return the exit code that goes with it."""
    tolerance = parse_tolerance(choice.tolerance)
    start, end = parse_range(choice.start, choice.end, utc_now())
    table = split_table(choice.reference)
    layout = layout_of(choice.channel)
    names = parse_names(choice.names, layout)
    check_suffix(choice.suffix)
    arguments: Arguments = (start, end, list(choice.instruments) or None)
    async with AsyncExitStack() as stack:
        stack.enter_context(translated())
        stack.enter_context(make_console(stderr=True).status("Comparing"))
        ours = await stack.enter_async_context(open_database(tape))
        theirs = await stack.enter_async_context(open_database(reference)) if reference else ours
        types = await _read_types(theirs, table, names)
        values = tuple(name for name in layout.values if name in types)
        missing = [
            name for name in ("instrument_id", layout.time, *layout.key) if name not in types
        ]
        if missing or not values:
            raise RefusedError(
                f"{choice.reference} has no column {', '.join(missing or layout.values)}.",
                "Name what it is called there: --column ts_open=open_time",
            )
        sides = (
            tape_side(choice.schema, choice.channel, values),
            reference_side(table, choice.channel, values, names, types, choice.suffix),
        )
        days = await _compare(ours, theirs, sides, arguments, tolerance)
    if not days:
        raise RefusedError("Neither side has a row in this range.", "See --from and --to.")
    found = Comparison(
        channel=choice.channel,
        reference=choice.reference,
        columns=values,
        tolerance_percent=tolerance,
        days=days,
    )
    _show(found, output)
    return ExitStatus.HEALTHY if found.agrees else ExitStatus.NOT_READY


async def _read_types(
    connection: asyncpg.Connection, table: tuple[str, str], names: dict[str, str]
) -> dict[str, str]:
    found = {
        row["column_name"]: row["data_type"] for row in await connection.fetch(_COLUMNS, *table)
    }
    if not found:
        raise RefusedError(f"There is no table {'.'.join(table)}, or it cannot be seen.")
    types = {ours: found[theirs] for ours, theirs in names.items() if theirs in found}
    return types | ({"interval": found["interval"]} if "interval" in found else {})


async def _compare(
    ours: asyncpg.Connection,
    theirs: asyncpg.Connection,
    sides: tuple[Side, Side],
    arguments: Arguments,
    tolerance: Decimal,
) -> tuple[DayComparison, ...]:
    tape = await _read_digests(ours, sides[0], arguments)
    reference = await _read_digests(theirs, sides[1], arguments)
    wrong: dict[DayKey, tuple[int, int, int]] = {}
    for part in find_suspects(tape, reference):
        wrong[part] = compare_rows(
            await _read_rows(ours, sides[0], part, arguments),
            await _read_rows(theirs, sides[1], part, arguments),
        )
    return judge_days(tape, reference, wrong, tolerance)


async def _read_digests(
    connection: asyncpg.Connection, side: Side, arguments: Arguments
) -> dict[DayKey, Digest]:
    rows = await connection.fetch(side.digests, *arguments)
    return {
        (row["instrument"], as_ns(row["day"])): Digest(row["rows"], int(row["digest"]))
        for row in rows
    }


async def _read_rows(
    connection: asyncpg.Connection, side: Side, part: DayKey, arguments: Arguments
) -> list[tuple[str, str]]:
    day = datetime.fromtimestamp(part[1] // 1_000_000_000, UTC)
    start, end = max(day, arguments[0]), min(day + timedelta(days=1), arguments[1])
    rows = await connection.fetch(side.rows, start, end, [part[0]])
    return [(row["key"], row["value"]) for row in rows]


def _show(found: Comparison, output: Output) -> None:
    sums = sum_up(found.days)
    if output is not Output.TABLE:
        document = {"agrees": found.agrees, "sums": sums, **describe(found)}
        document["tolerancePercent"] = str(found.tolerance_percent)
        text = json.dumps(document, indent=2)
        write_plain(
            text if output is Output.JSON else yaml.safe_dump(json.loads(text), sort_keys=False)
        )
        return
    wrong = [day for day in found.days if day.agreement is not Agreement.EQUAL]
    if wrong:
        draw(_tabulate(wrong[:SHOWN_DAYS]))
    if len(wrong) > SHOWN_DAYS:
        say(f"{len(wrong) - SHOWN_DAYS:,} more days are not equal; -o json has all of them.")
    say(
        f"{found.channel} against {found.reference}, by {', '.join(found.columns)}:"
        f" {sums['days']:,} days, {sums['rows']:,} rows against {sums['referenceRows']:,};"
        f" {sums['onlyTape']:,} only on the tape, {sums['onlyReference']:,} only in the reference,"
        f" {sums['different']:,} differ."
    )
    good = "Everything agrees" if not wrong else "Every day agrees within the tolerance"
    bad = f"{sums['daysDifferent']:,} days differ by more than {found.tolerance_percent} %"
    say(f"{good if found.agrees else bad}.")


def _tabulate(days: list[DayComparison]) -> Table:
    titles = ("instrument", "day", "rows", "reference", "only tape", "only reference", "differ", "")
    table = Table(*titles, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for day in days:
        counts = (day.rows, day.reference_rows, day.only_tape, day.only_reference, day.different)
        table.add_row(
            day.instrument_id,
            say_day(day.day_ns),
            *(f"{count:,}" for count in counts),
            day.agreement.value,
        )
    return table
