"""The referee of a tape: what the venue emitted against what the database holds and names.

Takes the simulator's ground truth and the tables, never the feeder's own word. A number that the
venue emitted is *kept* when a row holds it, *named* when the ledger does, else *lost*.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg

STREAMS = {
    "trade": "aggTrade",
    "quote": "bookTicker",
    "book": "depth@100ms",
    "bar-1m": "kline_1m",
}

_ROWS = {
    "trade": "select trade_id as number, trade_id as first, ts_event from {s}.trades"
    " where instrument_id = $1 order by 1",
    "quote": "select sequence as number, sequence as first, ts_event from {s}.quotes"
    " where instrument_id = $1 order by 1",
    "book": "select last_id as number, first_id as first, ts_event from {s}.book_deltas"
    " where instrument_id = $1 and not snapshot order by 1",
    "bar-1m": "select (extract(epoch from ts_open) * 1000)::bigint as number,"
    " (extract(epoch from ts_open) * 1000)::bigint as first, ts_event from {s}.bars"
    " where instrument_id = $1 and final order by 1",
}


@dataclass(kw_only=True)
class Verdict:
    """One channel of one instrument."""

    channel: str
    symbol: str
    emitted: int
    """Numbers the venue emitted since the tape began."""
    kept: int
    doubled: int
    named: int
    lost: list[int] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)
    """Numbers that the database holds and the venue never emitted."""

    @property
    def complete(self) -> bool:
        """Whether everything is kept once or named."""
        return not self.lost and not self.doubled and not self.foreign

    def __str__(self) -> str:
        return (
            f"{self.channel} {self.symbol}: emitted {self.emitted} kept {self.kept}"
            f" named {self.named} doubled {self.doubled} lost {len(self.lost)} {self.lost[:5]}"
            f" foreign {len(self.foreign)} {self.foreign[:5]}"
        )


async def judge(
    dsn: str,
    admin_url: str,
    market: str,
    instrument_suffix: str,
    wanted: dict[str, list[str]],
    *,
    schema: str = "feedplane",
    from_first_row: bool = True,
) -> list[Verdict]:
    """Return a verdict for each wanted channel: `{"trade": ["BTCUSDT", ...], ...}`.

    The tape begins with the first row held, or, more strictly, with what the venue emitted after
    the first subscription.
    """
    connection = await asyncpg.connect(dsn)
    verdicts = []
    try:
        async with aiohttp.ClientSession() as http:
            for channel, symbols in wanted.items():
                for symbol in symbols:
                    url = f"{admin_url}/truth/{market}/{STREAMS[channel]}/{symbol}?ids=1"
                    async with http.get(url) as response:
                        truth = await response.json()
                    instrument = f"{symbol}.{instrument_suffix}"
                    rows = await connection.fetch(_ROWS[channel].format(s=schema), instrument)
                    gaps = await connection.fetch(
                        f"select * from {schema}.gaps"  # noqa: S608 - a test's own schema name
                        " where instrument_id = $1 and channel = $2",
                        instrument,
                        channel,
                    )
                    verdict = judge_rows(channel, symbol, Told(truth, from_first_row), rows, gaps)
                    verdicts.append(verdict)
    finally:
        await connection.close()
    return verdicts


class Told:
    """What the venue says of one channel."""

    def __init__(self, truth: dict[str, Any], from_first_row: bool) -> None:
        self.emitted: list[int] = truth.get("ids", [])
        windows = [window["after"] or 0 for window in truth.get("delivered", [])]
        self.subscribed_after = None if from_first_row or not windows else min(windows)

    def since(self, begin: int) -> list[int]:
        """Return the numbers of the tape, which begins with the first row if nothing else is."""
        after = begin - 1 if self.subscribed_after is None else self.subscribed_after
        return [number for number in self.emitted if number > after]

    def past(self, channel: str, kept: set[int]) -> set[int]:
        """Return bars from before the venue's own first one: a Backfill may have brought them."""
        if not channel.startswith("bar-") or not self.emitted:
            return set()
        return {number for number in kept if number < self.emitted[0]}


def judge_rows(channel: str, symbol: str, told: Told, rows: list[Any], gaps: list[Any]) -> Verdict:
    """Return the verdict of one channel's rows and ledger."""
    numbers = [row["number"] for row in rows]
    kept = set(numbers)
    past = told.past(channel, kept)
    # What a Backfill brought begins no tape: between it and the live rows nobody was asked.
    since = told.since(min((row["first"] for row in rows if row["number"] not in past), default=0))
    covered = _named(channel, rows, gaps)
    missing = [number for number in since if number not in kept]
    named = [number for number in missing if any(a <= number <= b for a, b in covered)]
    lost = sorted(set(missing) - set(named))
    return Verdict(
        channel=channel,
        symbol=symbol,
        emitted=len(since),
        kept=len(kept),
        doubled=len(numbers) - len(kept),
        named=len(named),
        lost=lost,
        foreign=sorted(kept.difference(told.emitted, past)),
    )


# The numbers each ledger row names. A bar's number is its open time. Another row without ids
# names what lies strictly between the last row held at its beginning and the first held at its
# end.
def _named(channel: str, rows: list[Any], gaps: list[Any]) -> list[tuple[int, int]]:
    covered = []
    by_time = sorted((row["ts_event"], row["number"]) for row in rows)
    times = [time for time, _ in by_time]
    for gap in gaps:
        if gap["from_id"] is not None:
            covered.append((gap["from_id"], gap["to_id"]))
            continue
        if channel.startswith("bar-"):
            covered.append((_milliseconds(gap["from_ts"]), _milliseconds(gap["to_ts"])))
            continue
        before = bisect_right(times, gap["from_ts"])
        after = bisect_left(times, gap["to_ts"]) if gap["to_ts"] else len(times)
        low = by_time[before - 1][1] + 1 if before else 0
        high = by_time[after][1] - 1 if after < len(times) else 1 << 62
        covered.append((low, high))
    return covered


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
