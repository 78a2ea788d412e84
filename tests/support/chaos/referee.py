"""What a fault cost: the venue's ground truth against the tables and their commit times.

Nothing here asks a feeder or the operator. Delivery is timed by the database: a row is on the tape
when the transaction that wrote it committed, and `track_commit_timestamp` tells when that was.
"""

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
from release import VenueAdmin

STREAMS: Final = {"trade": "aggTrade", "quote": "bookTicker", "book": "depth@100ms"}
TICKS: Final = ("trade", "quote")
# What the venue numbers, the hole-free key of each table.
NUMBERS: Final = {
    "trade": ("trades", "trade_id", ""),
    "quote": ("quotes", "sequence", ""),
    "book": ("book_deltas", "last_id", "and not snapshot"),
}
Key = tuple[str, str]
"""Channel and symbol."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a channel's numbers: after the first, up to and with the last."""

    after: int
    until: int


@dataclass(slots=True, kw_only=True)
class ChannelFacts:
    """What venue and tables say of one channel within a span."""

    emitted: Sequence[int]
    windows: Sequence[Mapping[str, Any]]
    """Who had it subscribed from which number to which, as the venue tells."""
    rows: Sequence[tuple[float, Sequence[int]]]
    """Commit time in seconds since the epoch, and the numbers committed then."""
    holes: Sequence[tuple[int | None, int | None]] = ()
    """First and last number that a row of the ledger names; None where it names no end."""


@dataclass(slots=True, kw_only=True)
class Losses:
    """The count of one channel or of many together."""

    emitted: int = 0
    missing: int = 0
    """On no tape, whatever the ledger says."""
    lost: int = 0
    """Missing although a line that is up to this moment was sent it."""
    unnamed: int = 0
    """Missing, and no row of the ledger says so."""
    doubled: int = 0
    foreign: int = 0
    """On the tape and never emitted."""

    def add(self, other: "Losses") -> None:
        """Count another channel in."""
        self.emitted += other.emitted
        self.missing += other.missing
        self.lost += other.lost
        self.unnamed += other.unnamed
        self.doubled += other.doubled
        self.foreign += other.foreign


def count_losses(facts: ChannelFacts) -> Losses:
    """Compare what was emitted with what is on the tape."""
    numbers = [number for _, ids in facts.rows for number in ids]
    kept = set(numbers)
    missing = [number for number in facts.emitted if number not in kept]
    return Losses(
        emitted=len(facts.emitted),
        missing=len(missing),
        lost=sum(was_sent(number, facts.windows) for number in missing),
        unnamed=sum(not is_named(number, facts.holes) for number in missing),
        doubled=len(numbers) - len(kept),
        foreign=len(kept.difference(facts.emitted)),
    )


def windows_of(
    windows: Iterable[Mapping[str, Any]], accounts: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Return what these accounts had subscribed: other feeds stand at the same venue."""
    return [window for window in windows if window["account"] in accounts]


def was_sent(number: int, windows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a connection that still stands was sent a number.

    One that ended may have ended with bytes under way, which nobody ever read.
    """
    return any(
        window["until"] is None
        and number > (window["after"] or 0)
        and number not in window.get("withheldIds", ())
        for window in windows
    )


def is_named(number: int, holes: Iterable[tuple[int | None, int | None]]) -> bool:
    """Whether the ledger names a number."""
    return any(
        first is not None and last is not None and first <= number <= last for first, last in holes
    )


def longest_stall(commits: Iterable[float]) -> float:
    """Return the longest time between two successive commits that brought new rows.

    Shape: seconds since the epoch, in any order.
    """
    times = sorted(set(commits))
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the referee says of one round."""

    ticks: Losses
    books: Losses
    seconds: float
    """From the first to the last commit looked at."""
    stall_seconds: float
    delay_seconds: float
    """The longest that a row was under way, from its receipt to its commit."""
    commits: Sequence[float] = ()
    """When rows came onto the tape, in seconds since the epoch, in order."""
    holes: list[dict[str, Any]] = field(default_factory=list)
    """The ledger's rows found in this round."""

    @property
    def delivered_per_second(self) -> float:
        """What each line was sent, in messages a second."""
        total = self.ticks.emitted + self.books.emitted
        return total / self.seconds if self.seconds else 0.0

    @property
    def stalled_at(self) -> float:
        """Return when the longest stall began; 0 without commits."""
        pairs = itertools.pairwise(self.commits)
        return max(pairs, key=lambda pair: pair[1] - pair[0], default=(0.0, 0.0))[0]

    def rows_after(self, at: float) -> float:
        """Return how many seconds after a moment rows came onto the tape again."""
        return next((commit - at for commit in self.commits if commit > at), float("inf"))


class Referee:
    """Judges rounds of one feed while the venue goes on trading."""

    def __init__(
        self,
        venue_code: str,
        schema: str,
        wanted: Mapping[str, Sequence[str]],
        accounts: Sequence[str],
    ) -> None:
        self._code = venue_code
        self._schema = schema
        self._accounts = accounts
        self._wanted = {(channel, symbol) for channel in wanted for symbol in wanted[channel]}

    def stand(self, venue: VenueAdmin) -> dict[Key, int]:
        """Return the last number the venue emitted of each wanted channel."""
        told = {
            (row["channel"], row["symbol"]): row["emitted"]["last"] or 0
            for row in venue.ask("/truth")
            if row["market"] == "spot"
        }
        return {key: told.get((STREAMS[key[0]], key[1]), 0) for key in self._wanted}

    def judge(
        self,
        venue: VenueAdmin,
        dsn: str,
        begin: Mapping[Key, int],
        *,
        patience_seconds: float = 20.0,
    ) -> Verdict:
        """Judge everything emitted since `begin`.

        What is on its way gets some time to arrive; the judgement ends early once all is there.
        """
        end = self.stand(venue)
        spans = {key: Span(begin.get(key, 0), end[key]) for key in sorted(self._wanted)}
        truths = {key: self._truth(venue, key, span) for key, span in spans.items()}
        return asyncio.run(self._judge(dsn, spans, truths, patience_seconds))

    def _truth(self, venue: VenueAdmin, key: Key, span: Span) -> dict[str, Any]:
        channel, symbol = key
        if not span.until:
            return {"ids": [], "delivered": []}
        path = f"/truth/spot/{STREAMS[channel]}/{symbol}"
        found: dict[str, Any] = venue.ask(f"{path}?ids=1&after={span.after}&until={span.until}")
        return found

    async def _judge(
        self,
        dsn: str,
        spans: Mapping[Key, Span],
        truths: Mapping[Key, Mapping[str, Any]],
        patience_seconds: float,
    ) -> Verdict:
        loop = asyncio.get_running_loop()
        connection = await asyncpg.connect(dsn)
        try:
            deadline = loop.time() + patience_seconds
            while True:
                facts = {key: await self._facts(connection, key, spans, truths) for key in spans}
                missing = sum(count_losses(each).missing for each in facts.values())
                if not missing or loop.time() > deadline:
                    return await self._verdict(connection, spans, facts)
                await asyncio.sleep(1)
        finally:
            await connection.close()

    async def _facts(
        self,
        connection: Any,
        key: Key,
        spans: Mapping[Key, Span],
        truths: Mapping[Key, Mapping[str, Any]],
    ) -> ChannelFacts:
        channel, symbol = key
        table, number, where = NUMBERS[channel]
        span, instrument = spans[key], f"{symbol}.{self._code}"
        rows = await connection.fetch(
            f"select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 as at,"  # noqa: S608
            f" array_agg({number}) as ids from {self._schema}.{table}"
            f" where instrument_id = $1 and {number} > $2 and {number} <= $3 {where}"
            " and ts_event > now() - interval '15 minutes' group by xmin",
            *(instrument, span.after, span.until),
        )
        # A row without numbers names what lies strictly between the last row held at its beginning
        # and the first held at its end.
        held = f"from {self._schema}.{table} t where t.instrument_id = $1 {where}"
        holes = await connection.fetch(
            f"select coalesce(from_id, (select max({number}) + 1 {held}"  # noqa: S608
            f" and t.{number} <= $4 and t.ts_event <= g.from_ts)) as first,"
            f" coalesce(to_id, (select min({number}) - 1 {held}"
            f" and t.{number} > $3 and t.ts_event >= g.to_ts), $4) as last"
            f" from {self._schema}.gaps g where instrument_id = $1 and channel = $2"
            " and (to_id is null or to_id > $3) and detected_at > now() - interval '15 minutes'",
            *(instrument, channel, span.after, span.until),
        )
        return ChannelFacts(
            emitted=truths[key].get("ids", ()),
            windows=windows_of(truths[key].get("delivered", ()), self._accounts),
            rows=[(row["at"], row["ids"]) for row in rows],
            holes=[(row["first"], row["last"]) for row in holes],
        )

    async def _verdict(
        self, connection: Any, spans: Mapping[Key, Span], facts: Mapping[Key, ChannelFacts]
    ) -> Verdict:
        ticks, books = Losses(), Losses()
        for (channel, _), each in facts.items():
            (ticks if channel in TICKS else books).add(count_losses(each))
        commits = [at for key, each in facts.items() if key[0] in TICKS for at, _ in each.rows]
        first, last = min(commits, default=0.0), max(commits, default=0.0)
        holes = await connection.fetch(
            "select instrument_id, channel, cause, from_id, to_id, account,"  # noqa: S608
            " extract(epoch from to_ts - from_ts)::float8 as seconds"
            f" from {self._schema}.gaps where detected_at >= to_timestamp($1)"
            " order by detected_at limit 200",
            first,
        )
        return Verdict(
            ticks=ticks,
            books=books,
            seconds=last - first,
            stall_seconds=longest_stall(commits),
            delay_seconds=await self._delay(connection, spans),
            commits=sorted(set(commits)),
            holes=[dict(row) for row in holes],
        )

    async def _delay(self, connection: Any, spans: Mapping[Key, Span]) -> float:
        delays = []
        for (channel, symbol), span in spans.items():
            if channel != "quote":
                continue
            delays.append(
                await connection.fetchval(
                    "select max(extract(epoch from pg_xact_commit_timestamp(xmin) - ts_recv))"  # noqa: S608
                    f"::float8 from {self._schema}.quotes"
                    " where instrument_id = $1 and sequence > $2 and sequence <= $3",
                    *(f"{symbol}.{self._code}", span.after, span.until),
                )
            )
        return max((delay for delay in delays if delay is not None), default=0.0)
