"""Answers of Hong Kong quote services, each read into the same looks at instruments.

Three services, three texts: FuShu's JSON, Tencent's and Sina's JavaScript statements (GBK). A
row that cannot be read costs its own instrument only. Numbers stay the text that was printed.
Must not know connections, polls or records.

Source: FuShu's request and answer as its one known client reads them, qt.gtimg.cn and
hq.sinajs.cn as public clients read them (no vendor publishes a description), read 2026-11-21.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import Final

import msgspec
from msgspec import Raw, Struct

from feedplane_feeder.core.looks import Look, read_local_time
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError

HONG_KONG: Final = timezone(timedelta(hours=8))
ABSENT: Final = frozenset({"", "-", "null"})
ODD_BYTES: Final = "replace"
"""Names are not read, so a letter that cannot be decoded is no reason to lose a price."""


@dataclass(slots=True)
class Answer:
    """What an answer holds."""

    looks: dict[str, Look] = field(default_factory=dict)
    """By symbol."""
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """Symbol (empty where it cannot be told), reason and text of what cannot be used."""


class _Tick(Struct):
    symbol: str
    timestamp: str
    price: Raw = Raw(b"null")
    volume: Raw = Raw(b"null")
    bid_price: Raw = Raw(b"null")
    ask_price: Raw = Raw(b"null")
    bid_volume: Raw = Raw(b"null")
    ask_volume: Raw = Raw(b"null")


class _TickName(Struct):
    symbol: str


class _Ticks(Struct):
    data: list[Raw]


def parse_fushu(body: bytes) -> Answer:
    """Read `{"data": [{"symbol": "00700.HK", ...}]}`.

    Raises:
        MalformedFrameError: not such an answer.
    """
    try:
        ticks = msgspec.json.decode(body, type=_Ticks).data
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFrameError(str(error), body) from error
    answer = Answer()
    for raw in ticks:
        _collect(answer, _fushu_symbol(raw), bytes(raw).decode("utf-8", ODD_BYTES), _read_tick)
    return answer


def parse_tencent(body: bytes) -> Answer:
    """Read `v_r_hk00700="100~...~";` statements.

    Raises:
        MalformedFrameError: no statement at all.
    """
    return _parse_statements(body, _TENCENT, _NOT_FOUND, _read_tencent)


def parse_sina(body: bytes) -> Answer:
    """Read `var hq_str_rt_hk00700="TENCENT,...";` statements; an empty one says unknown.

    Raises:
        MalformedFrameError: no statement at all.
    """
    return _parse_statements(body, _SINA, _SINA, _read_sina)


_TENCENT: Final = re.compile(r'v_r_hk([0-9A-Za-z]+)="([^"]*)";')
_NOT_FOUND: Final = re.compile(r'v_pv_none_match="1";')
_SINA: Final = re.compile(r'var hq_str_rt_hk([0-9A-Za-z]+)="([^"]*)";')
_SLASHED: Final = "%Y/%m/%d %H:%M:%S"


def _parse_statements(
    body: bytes,
    statement: re.Pattern[str],
    sign_of_life: re.Pattern[str],
    read: Callable[[str], Look],
) -> Answer:
    text = body.decode("gb18030", ODD_BYTES)
    found = statement.findall(text)
    # A service that has had enough of us answers with nothing.
    if not found and not sign_of_life.search(text):
        raise MalformedFrameError("no statement in the answer", body)
    answer = Answer()
    for symbol, fields in found:
        if fields:
            _collect(answer, symbol, fields, read)
    return answer


def _collect(answer: Answer, symbol: str, text: str, read: Callable[[str], Look]) -> None:
    try:
        answer.looks[symbol] = read(text)
    except ImpossibleValueError as error:
        answer.refused.append((symbol, error.reason, text))
    except (msgspec.DecodeError, IndexError):
        answer.refused.append((symbol, "MalformedFrame", text))


def _fushu_symbol(raw: Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=_TickName).symbol.removesuffix(".HK")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _read_tick(text: str) -> Look:
    tick = msgspec.json.decode(text, type=_Tick)
    return Look(
        time_ns=read_local_time(tick.timestamp, HONG_KONG),
        last=_number(tick.price),
        volume=_number(tick.volume),
        bid_price=_number(tick.bid_price),
        bid_size=_number(tick.bid_volume),
        ask_price=_number(tick.ask_price),
        ask_size=_number(tick.ask_volume),
    )


def _read_tencent(text: str) -> Look:
    fields = text.split("~")
    # Bid and ask repeat the last price with no size, so they are no quote.
    return Look(
        time_ns=read_local_time(fields[30], HONG_KONG, _SLASHED),
        last=_told(fields[3]),
        volume=_told(fields[6]),
        turnover=_told(fields[37]),
        open=_told(fields[5]),
        high=_told(fields[33]),
        low=_told(fields[34]),
        previous_close=_told(fields[4]),
    )


def _read_sina(text: str) -> Look:
    fields = text.split(",")
    return Look(
        time_ns=read_local_time(f"{fields[17]} {fields[18]}", HONG_KONG, _SLASHED),
        last=_told(fields[6]),
        bid_price=_told(fields[9]),
        ask_price=_told(fields[10]),
        volume=_told(fields[12]),
        turnover=_told(fields[11]),
        open=_told(fields[2]),
        high=_told(fields[4]),
        low=_told(fields[5]),
        previous_close=_told(fields[3]),
    )


def _number(raw: Raw) -> str | None:
    return _told(bytes(raw).decode("ascii", ODD_BYTES).strip('"'))


def _told(text: str) -> str | None:
    return None if text in ABSENT else text
