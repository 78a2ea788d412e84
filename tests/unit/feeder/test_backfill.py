from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feedplane_api.backfill_worker import BackfillConfig
from feedplane_feeder.backfill import plan_share
from feedplane_feeder.core.chunks import Series

START = datetime(2026, 10, 25, tzinfo=UTC)
SERIES = [
    Series(symbol=f"S{number}", instrument_id=f"S{number}.V", channel=channel)
    for number in range(3)
    for channel in ("bar-1m", "trade")
]


def make_config(**fields: Any) -> BackfillConfig:
    return BackfillConfig.model_validate(
        {
            "venue": "binance-spot",
            "wanted": [{"symbol": "S0", "channels": ["trade"]}],
            "start": START,
            "end": START + timedelta(days=14),
            "sink": {"dsnPath": "/etc/dsn"},
            **fields,
        }
    )


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


@settings(deadline=None, max_examples=25)
@given(hours=st.lists(st.integers(24, 400), min_size=3, max_size=3))
def test_workers_that_start_at_other_times_share_the_past(hours: list[int]) -> None:
    shares = [
        plan_share(make_config(workers=3), SERIES, index, nanoseconds(START + timedelta(hours=h)))
        for index, h in enumerate(hours)
    ]
    numbers = [c.number for share in shares for piece in share.pieces for c in piece.chunks]
    assert len(numbers) == len(set(numbers))
    earliest = nanoseconds(START + timedelta(hours=min(hours)))
    surely = {chunk.number for chunk in shares[0].chunks if chunk.end_ns < earliest}
    assert surely <= set(numbers)


def test_day_that_is_not_over_is_cut_and_not_remembered() -> None:
    now = START + timedelta(days=1, hours=6, seconds=30)
    share = plan_share(make_config(), SERIES[:2], 0, nanoseconds(now))
    bars = [chunk for chunk in share.chunks if chunk.channel == "bar-1m"]
    assert bars[-1].end_ns == nanoseconds(now - timedelta(seconds=30))
    assert [chunk.number for chunk in bars if chunk.number in share.growing] == [bars[-1].number]
    assert len(bars) == 2


def test_range_in_the_future_has_nothing_to_do() -> None:
    share = plan_share(make_config(), SERIES, 0, nanoseconds(START - timedelta(days=1)))
    assert (share.chunks, share.pieces) == ((), ())
