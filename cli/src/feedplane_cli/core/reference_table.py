"""How a reference table is laid beside the tape: columns by name, times and numbers made alike.

Text of SQL only; values always go as arguments. Must not know connections.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from feedplane_cli.errors import UsageError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_VENUE: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_INTERVAL: Final = re.compile(r"[0-9]{1,2}[smhdwM]")
_ROWS: Final = """
select {instrument} as instrument, date_trunc('day', {moment}) as day, {key} as key,
    {value} as value
from {table} as source
where {moment} >= $1 and {moment} < $2 and ($3::text[] is null or {instrument} = any($3)) {extra}
"""
_DIGESTS: Final = """
select instrument, day, count(*) as rows,
    sum(('x' || substr(md5(key || '=' || value), 1, 15))::bit(60)::bigint)::text as digest
from ({rows}) as lines
group by 1, 2
"""
_WHOLE: Final = frozenset({"bigint", "integer", "numeric", "double precision", "real"})


@dataclass(frozen=True, slots=True)
class Layout:
    """What of a channel's table is compared."""

    table: str
    time: str
    key: tuple[str, ...]
    """Besides the instrument."""
    numbers: tuple[str, ...]
    words: tuple[str, ...] = ()
    extra: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        """Columns whose values are compared."""
        return (*self.numbers, *self.words)


LAYOUTS: Final = {
    "trade": Layout("trades", "ts_event", ("trade_id",), ("price", "size"), ("aggressor_side",)),
    "quote": Layout(
        "quotes", "ts_event", ("sequence",), ("bid_price", "bid_size", "ask_price", "ask_size")
    ),
    "bar": Layout(
        "bars",
        "ts_open",
        ("ts_open",),
        ("open", "high", "low", "close", "volume"),
        extra="and final and interval = '{interval}'",
    ),
    "metric": Layout("metrics", "ts_event", ("name", "ts_event"), ("value",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side's statements; arguments are start, end, instruments or null."""

    digests: str
    rows: str


def layout_of(channel: str) -> Layout:
    """Return what of a channel is compared.

    Raises:
        UsageError: nothing of it can be.
    """
    kind, _, interval = channel.partition("-")
    layout = LAYOUTS.get(kind)
    whole = _INTERVAL.fullmatch(interval) is not None if kind == "bar" else not interval
    if layout is None or not whole:
        raise UsageError(
            f"Channel {channel!r} cannot be compared.", "As in: trade, quote, metric, bar-1m"
        )
    return layout


def parse_names(pairs: tuple[str, ...], layout: Layout) -> dict[str, str]:
    """Read `ours=theirs` pairs of column names; what is not named has the same name there.

    Raises:
        UsageError: not such a pair, or not a column of ours.
    """
    known = {"instrument_id", layout.time, *layout.key, *layout.values}
    names = {name: name for name in known}
    for pair in pairs:
        ours, _, theirs = pair.partition("=")
        if ours not in known or not _NAME.fullmatch(theirs):
            raise UsageError(
                f"Expected OURS=THEIRS, was {pair!r}.", f"Ours are: {', '.join(sorted(known))}"
            )
        names[ours] = theirs
    return names


def split_table(text: str) -> tuple[str, str]:
    """Read `schema.table`, or `table` of the schema public.

    Raises:
        UsageError: it is neither.
    """
    schema, dot, table = text.partition(".")
    schema, table = (schema, table) if dot else ("public", schema)
    if not _NAME.fullmatch(schema) or not _NAME.fullmatch(table):
        raise UsageError(f"Expected SCHEMA.TABLE, was {text!r}.", "As in: legacy.klines")
    return schema, table


def check_suffix(suffix: str) -> None:
    """Refuse a venue that is no part of an instrument's identity.

    Raises:
        UsageError: it is none.
    """
    if suffix and not _VENUE.fullmatch(suffix):
        raise UsageError(
            f"Expected a venue, was {suffix!r}.", "As in: --suffix NAME, the part behind the dot"
        )


def tape_side(schema: str, channel: str, values: tuple[str, ...]) -> Side:
    """Return the statements for the tape."""
    layout = layout_of(channel)
    names = {name: name for name in ("instrument_id", layout.time, *layout.key, *values)}
    extra = layout.extra.format(interval=channel.partition("-")[2])
    types = {layout.time: "timestamp with time zone"}
    return _side(f"{_quoted(schema)}.{layout.table}", layout, values, names, types, "", extra)


def reference_side(
    table: tuple[str, str],
    channel: str,
    values: tuple[str, ...],
    names: Mapping[str, str],
    types: Mapping[str, str],
    suffix: str,
) -> Side:
    """Return the statements for a reference table; `types` are its columns' by our names.

    An interval of its own is looked at where it has a column of that name.
    """
    layout = layout_of(channel)
    interval = channel.partition("-")[2]
    extra = f"and interval::text = '{interval}'" if interval and "interval" in types else ""
    where = f"{_quoted(table[0])}.{_quoted(table[1])}"
    return _side(where, layout, values, names, types, suffix, extra)


def _side(
    table: str,
    layout: Layout,
    values: tuple[str, ...],
    names: Mapping[str, str],
    types: Mapping[str, str],
    suffix: str,
    extra: str,
) -> Side:
    instrument = f"{_quoted(names['instrument_id'])}::text"
    if suffix:
        instrument = f"({instrument} || '.{suffix}')"
    moment = _moment(_quoted(names[layout.time]), types.get(layout.time, ""))
    keys = [
        f"(extract(epoch from {moment}) * 1000000)::bigint::text"
        if name == layout.time
        else f"{_quoted(names[name])}::text"
        for name in layout.key
    ]
    texts = [
        f"trim_scale({_quoted(names[name])}::numeric)::text"
        if name in layout.numbers
        else f"{_quoted(names[name])}::text"
        for name in values
    ]
    rows = _ROWS.format(
        instrument=instrument,
        moment=moment,
        key=f"concat_ws('|', {', '.join(keys)})",
        value=f"concat_ws('|', {', '.join(_known(text) for text in texts)})",
        table=table,
        extra=extra,
    )
    return Side(digests=_DIGESTS.format(rows=rows), rows=rows)


# A time of whole numbers is taken as Unix milliseconds, one without a zone as UTC.
def _moment(column: str, kind: str) -> str:
    if kind in _WHOLE:
        return f"to_timestamp({column}::numeric / 1000)"
    if kind in {"timestamp without time zone", "date"}:
        return f"({column}::timestamp at time zone 'UTC')"
    return column


def _known(text: str) -> str:
    return f"coalesce({text}, '-')"


def _quoted(name: str) -> str:
    return f'"{name}"'
