"""Columns of bars to PostgreSQL's binary COPY format, a block at once.

Every row of a block has one layout, so that a block is one array of records whose fields are
filled column by column. The server strips the zero digits that a fixed layout brings along. Must
not know connections, nor how columns were read.

Source: PostgreSQL manual, COPY, section "Binary Format"; src/backend/utils/adt/numeric.c,
`numeric_recv` (read 2026-11-22).
"""

from functools import lru_cache
from struct import Struct
from typing import Final

import numpy as np

from feedplane_feeder.core.columns import BarColumns, Decimals, Words
from feedplane_feeder.core.history import Rendered
from feedplane_feeder.records import ChannelKind
from feedplane_feeder.sinks.postgres_encode import EPOCH_MICROSECONDS, encode_text
from feedplane_feeder.sinks.postgres_text import COLUMNS

NUMBERS: Final = (
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("taker_buy_volume", "taker_buy_quote_volume"),
)
"""Columns of a bar's numbers, in the order they are read."""
_CONSTANT: Final = ("instrument_id", "interval", "final", "ts_recv")
_NUMERIC_HEAD: Final = 8
"""Bytes of a numeric before its digits."""
_LOW: Final = np.uint64(0xFFFF)
_HALF: Final = np.uint64(32)


def encode_bars(channel: str, instrument_id: str, bars: BarColumns, ts_recv_us: int) -> Rendered:
    """Return final bars of one channel of one instrument as rows of binary COPY."""
    head = _head(instrument_id, channel.partition("-")[2], ts_recv_us)
    groups = 4 if bars.numbers.beyond is None else 6
    rows = np.zeros(len(bars), _layout(len(head), groups))
    rows["head"] = np.frombuffer(head, f"V{len(head)}")[0]
    for name, values in (
        ("ts_open", bars.opened - EPOCH_MICROSECONDS),
        ("ts_event", bars.closed - EPOCH_MICROSECONDS),
        ("trade_count", bars.trade_count),
    ):
        rows[name]["bytes"] = 8
        rows[name]["value"] = values
    for number, name in enumerate(NUMBERS):
        field = rows[name]
        field["bytes"] = _NUMERIC_HEAD + 2 * groups
        field["count"] = groups
        # The first group of four digits counts ten thousands to this power.
        field["weight"] = groups - 3
        field["scale"] = bars.numbers.scale[:, number]
        _fill_digits(field["digits"], bars.numbers, number)
    return Rendered(rows.tobytes(), "binary")


def _fill_digits(digits: np.ndarray, numbers: Decimals, number: int) -> None:
    fours: list[Words] = [] if numbers.beyond is None else [numbers.beyond]
    fours += [numbers.whole, numbers.fraction]
    for place, words in enumerate(fours):
        digits[:, 2 * place] = words[:, number] & _LOW
        digits[:, 2 * place + 1] = words[:, number] >> _HALF


@lru_cache(maxsize=128)
def _head(instrument_id: str, interval: str, ts_recv_us: int) -> bytes:
    columns = COLUMNS[ChannelKind.BAR.value]
    assert columns[: len(_CONSTANT)] == _CONSTANT  # noqa: S101 - what comes first is written first
    texts = encode_text(instrument_id) + encode_text(interval)
    fixed = Struct(">i?iq").pack(1, True, 8, ts_recv_us - EPOCH_MICROSECONDS)
    return len(columns).to_bytes(2, "big") + texts + fixed


@lru_cache(maxsize=128)
def _layout(head_bytes: int, groups: int) -> np.dtype[np.void]:
    whole = np.dtype([("bytes", ">i4"), ("value", ">i8")])
    numeric = np.dtype(
        [
            *(("bytes", ">i4"), ("count", ">i2"), ("weight", ">i2"), ("sign", ">u2")),
            *(("scale", ">i2"), ("digits", ">i2", (groups,))),
        ]
    )
    columns = COLUMNS[ChannelKind.BAR.value][len(_CONSTANT) :]
    fields = [(name, numeric if name in NUMBERS else whole) for name in columns]
    return np.dtype([("head", f"V{head_bytes}"), *fields])
