from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from feedplane_api.market_hours import MarketHours, TradingHours
from feedplane_api.worker import (
    FileSinkConfig,
    PostgresSinkConfig,
    SessionConfig,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.core.chunks import DAY_NS
from feedplane_feeder.tape_check import Look, TapeCheck, check_tape, describe_check, plan_fetch

FRIDAY = datetime(2026, 11, 20, tzinfo=UTC)
SYMBOLS = {"au2612": "au2612.V", "jd2612": "jd2612.V"}
HOURS = MarketHours(
    since=FRIDAY,
    until=FRIDAY + timedelta(days=30),
    lines=(
        TradingHours(
            products=("au",),
            openings=(
                "2026-11-20T13:00Z/2026-11-20T18:30Z",
                "2026-11-23T01:00Z/2026-11-23T02:00Z",
            ),
        ),
        TradingHours(openings=("2026-11-23T01:00Z/2026-11-23T02:00Z",)),
    ),
)


def midnight(day: int) -> int:
    return int((FRIDAY + timedelta(days=day - 20)).timestamp()) * 1_000_000_000


class Held:
    """Counts as they are given."""

    def __init__(self, rows: Mapping[tuple[str, str], Mapping[int, int]]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, int, int, int]] = []
        self.first: dict[str, int] = {}

    async def count_days(
        self, channel: str, instrument_ids: Sequence[str], start_ns: int, end_ns: int
    ) -> Mapping[str, Mapping[int, int]]:
        self.asked.append((channel, len(instrument_ids), start_ns, end_ns))
        return {
            instrument_id: days
            for (instrument_id, name), days in self.rows.items()
            if name == channel and instrument_id in instrument_ids
        }

    async def first_rows(self, channel: str, instrument_ids: Sequence[str]) -> Mapping[str, int]:
        assert channel == "bar-1m"
        return {each: self.first[each] for each in instrument_ids if each in self.first}


def config(hours: MarketHours | None = HOURS, **fields: Any) -> WorkerConfig:
    wanted = tuple(Wanted(symbol=symbol, channels=("bar-1m",)) for symbol in SYMBOLS)
    sinks = (PostgresSinkConfig(dsn_env="DSN"),)
    return WorkerConfig(
        venue="v",
        **{"wanted": wanted, "sinks": sinks, "session": SessionConfig(hours=hours), **fields},
    )


async def judged(held: Held, asked: WorkerConfig | None = None, **fields: Any) -> TapeCheck:
    look = Look(**{"days": 10, "now_ns": midnight(24) + DAY_NS // 2, **fields})
    return await check_tape(asked or config(), SYMBOLS, held, look)


async def test_tape_with_every_row_of_its_sessions_is_whole() -> None:
    held = Held(
        {
            ("au2612.V", "bar-1m"): {midnight(20): 330, midnight(23): 60},
            ("jd2612.V", "bar-1m"): {midnight(23): 60},
        }
    )
    found = await judged(held)
    assert found.missing == ()
    # Days whose hours nobody knows are not judged, nor is today.
    assert found.days == tuple(midnight(day) for day in range(20, 24))
    assert held.asked == [("bar-1m", 2, midnight(20), midnight(24))]
    assert plan_fetch(config(), SYMBOLS, found) is None


async def test_day_without_its_rows_is_named_and_fetched_alone() -> None:
    held = Held({("jd2612.V", "bar-1m"): {midnight(23): 60}})
    found = await judged(held)
    assert [(each.instrument_id, each.day_ns, each.expected) for each in found.missing] == [
        ("au2612.V", midnight(20), 330),
        ("au2612.V", midnight(23), 60),
    ]
    fetch = plan_fetch(config(), SYMBOLS, found)
    assert fetch is not None
    assert [line.symbol for line in fetch.wanted] == ["au2612"]
    assert (fetch.start, fetch.end) == (FRIDAY, FRIDAY + timedelta(days=4))
    assert describe_check(found) == {
        "series": 2,
        "days": ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"],
        "missingDays": 2,
        "repairs": [
            {
                "instrument": "au2612.V",
                "channel": "bar-1m",
                "start": "2026-11-20",
                "end": "2026-11-21",
            },
            {
                "instrument": "au2612.V",
                "channel": "bar-1m",
                "start": "2026-11-23",
                "end": "2026-11-24",
            },
        ],
    }


async def test_market_that_never_closes_lacks_every_empty_day() -> None:
    found = await judged(Held({}), config(None), days=2)
    assert {each.expected for each in found.missing} == {1_440}
    assert len(found.missing) == 4


async def test_days_before_a_listing_are_not_missing() -> None:
    listed = dict.fromkeys(SYMBOLS, midnight(24))
    assert (await judged(Held({}), listed_ns=listed)).missing == ()


async def test_nothing_is_missing_before_the_first_row() -> None:
    held = Held({("au2612.V", "bar-1m"): {midnight(22): 60, midnight(23): 1_440}})
    held.first = {"au2612.V": midnight(22) + DAY_NS - 61 * 60 * 1_000_000_000}
    found = await judged(held, config(None), from_first_row=True)
    # The other instrument's tape has not begun; this one's first day lacks a bar of its last hour.
    assert [(each.instrument_id, each.day_ns, each.expected) for each in found.missing] == [
        ("au2612.V", midnight(22), 61)
    ]
    assert len((await judged(held, config(None))).missing) == 9 + 10


async def test_first_rows_of_a_whole_tape_are_not_asked_for() -> None:
    held = Held({(f"{name}.V", "bar-1m"): {midnight(23): 1_440} for name in SYMBOLS})
    assert (await judged(held, config(None), days=1, from_first_row=True)).missing == ()


async def test_day_with_any_bars_is_there_where_quiet_minutes_have_none() -> None:
    held = Held({("jd2612.V", "bar-1m"): {midnight(23): 7}})
    found = await judged(held, config(None), days=1, dense=False)
    assert [(each.instrument_id, each.expected) for each in found.missing] == [("au2612.V", None)]


async def test_week_that_is_not_over_has_no_bar_yet() -> None:
    weekly = (Wanted(symbol="au2612", channels=("bar-1w", "bar-1M")),)
    asked = config(None, wanted=weekly)
    # Mondays are the 9th, the 16th and the 23rd, which is yesterday.
    found = await judged(Held({}), asked, days=24)
    assert [(each.channel, each.day_ns) for each in found.missing] == [
        ("bar-1w", midnight(2)),
        ("bar-1w", midnight(9)),
        ("bar-1w", midnight(16)),
    ]


async def test_nothing_is_asked_where_no_hours_are_known() -> None:
    held = Held({})
    found = await judged(held, now_ns=midnight(20))
    assert (found.days, found.missing, held.asked) == ((), (), [])


async def test_tape_in_files_cannot_be_fetched_anew() -> None:
    files = config(sinks=(FileSinkConfig(path="-"),))
    found = await judged(Held({}), files)
    assert found.missing
    assert plan_fetch(files, SYMBOLS, found) is None
