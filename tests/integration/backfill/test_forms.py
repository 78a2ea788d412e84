"""Rows packed by the column and rows as text land alike, and beside each other."""

from collections.abc import Iterator
from typing import Any

from feedplane_feeder.adapters.binance_rows import lay_out_bars, parse_bar_lines
from feedplane_feeder.core.columns import read_bars
from feedplane_feeder.core.history import Rendered
from feedplane_feeder.sinks.factory import build_history_store
from feedplane_feeder.sinks.postgres_columns import encode_bars
from feedplane_feeder.sinks.postgres_text import render_rows

CHANNEL, INSTRUMENT = "bar-1m", "BTCUSDT.BINANCE-SPOT"
OPENED_US = 1_735_689_600_000_000
MINUTE_US = 60_000_000
VOLUMES = ("539.23000000", "0.123456789", "1234567890123456.5", "0", "99999999.99999999")
"""The second has more digits after the point than columns hold; the third makes rows wider."""


def line(minute: int) -> bytes:
    opened = OPENED_US + minute * MINUTE_US
    return (
        f"{opened},4.15070000,4.15870000,4.15060000,4.15540000,{VOLUMES[minute]},"
        f"{opened + MINUTE_US - 1},2240.398,13,0.00000000,10000.1,0\n"
    ).encode()


def blocks() -> Iterator[Rendered]:
    """Yield a block of each line, by the column where that can be."""
    for minute in range(len(VOLUMES)):
        bars = read_bars(line(minute), lay_out_bars("1m"))
        if bars is None:
            rows = parse_bar_lines(line(minute), MINUTE_US).rows
            yield render_rows(CHANNEL, INSTRUMENT, rows, OPENED_US)
        else:
            yield encode_bars(CHANNEL, INSTRUMENT, bars, OPENED_US)


async def test_blocks_of_either_form_are_one_write(trial: Any) -> None:
    assert [block.form for block in blocks()] == ["binary", "text", *["binary"] * 3]
    store = build_history_store(trial.config())
    await store.open()
    written = await store.write(CHANNEL, blocks(), fresh=True)
    assert (written.new, written.duplicate) == (len(VOLUMES), 0)
    bars = await trial.bars()
    assert [bar[0] for bar in bars] == [
        (OPENED_US + minute * MINUTE_US) // 1000 for minute in range(len(VOLUMES))
    ]
    assert [bar[6] for bar in bars] == list(VOLUMES)
    expected = ("4.15070000", "4.15870000", "4.15060000", "4.15540000")
    for bar in bars:
        assert bar[2:6] == expected
        assert bar[7:12] == ("2240.398", 13, "0.00000000", "10000.1", True)
    # What is known goes through the merge, in both forms too.
    again = await store.write(CHANNEL, blocks(), fresh=True)
    assert (again.new, again.duplicate) == (0, len(VOLUMES))
    assert await trial.bars() == bars
    await store.close()
