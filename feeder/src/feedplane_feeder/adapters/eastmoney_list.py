"""EastMoney's board list: every share of Shanghai, Shenzhen and Beijing, page by page.

Pages are sorted by code, which no trade changes. The venue gives out as many rows a page as it
likes, so the first page tells how many pages there are. Must not know how often it is read.

Source: no description is published; parameters and fields as public clients read them
(akshare 1.19, efinance 0.5), read 2026-11-21.
"""

from typing import Final

import msgspec
from msgspec import Struct

from feedplane_api.worker import ListedInstrument
from feedplane_feeder.adapters.eastmoney_frames import secid
from feedplane_feeder.core.instrument_list import InstrumentList
from feedplane_feeder.core.ports import Fetch
from feedplane_feeder.errors import MalformedFrameError

PATH: Final = "/api/qt/clist/get"
BOARDS: Final = "m:0+t:6,m:0+t:80,m:0+t:81+s:2048,m:1+t:2,m:1+t:23"
"""Shenzhen, its growth board, Beijing, Shanghai, its science board."""
PAGE_ROWS: Final = 100
TOTAL_MAX: Final = 100_000
"""A list that claims to be longer is none."""
TERMS: Final = InstrumentList(
    holds="shares of Shanghai, Shenzhen and Beijing",
    complete=False,
    spacing_seconds=0.5,
    again_seconds=4 * 3_600.0,
    retry_cap_seconds=600.0,
    source="whoever reads the whole list again and again is banned, say akshare's users",
)


class _Row(Struct):
    f12: str
    f13: int


class _Rows(Struct):
    total: int
    diff: list[_Row]


class _Answer(Struct):
    rc: int
    data: _Rows | None = None


async def read_list(fetch: Fetch) -> tuple[ListedInstrument, ...]:
    """Return every share on the list; all of them trade, as a suspension is told by no page.

    Raises:
        MalformedFrameError: a page that is none, or that holds nothing new.
    """
    symbols: dict[str, None] = {}
    number, pages = 0, 1
    while number < pages:
        number += 1
        body = await fetch(page_path(number), 1)
        rows = parse_page(body)
        if number == 1:
            pages = -(-rows.total // len(rows.diff))
        known = len(symbols)
        symbols.update((spell_symbol(row.f13, row.f12), None) for row in rows.diff)
        if len(symbols) == known:
            raise MalformedFrameError("a page of the list that holds nothing new", body)
    return tuple(ListedInstrument(symbol=symbol, trading=True) for symbol in sorted(symbols))


def page_path(number: int) -> str:
    """Return the path of a page, counted from 1."""
    return (
        f"{PATH}?pn={number}&pz={PAGE_ROWS}&po=0&np=1&fltt=2&invt=2&fid=f12"
        f"&fs={BOARDS}&fields=f12,f13"
    )


def parse_page(body: bytes) -> _Rows:
    """Read a page.

    Raises:
        MalformedFrameError: no such page, or an empty one.
    """
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFrameError(str(error), body) from error
    # A venue that has had enough of us answers that all is well and nothing is there.
    if answer.rc != 0 or answer.data is None or not answer.data.diff:
        raise MalformedFrameError("a page of the list without rows", body)
    if not len(answer.data.diff) <= answer.data.total <= TOTAL_MAX:
        raise MalformedFrameError("a list of impossible length", body)
    return answer.data


def spell_symbol(market: int, code: str) -> str:
    """Return our symbol: the bare code where that says the market, else with its number."""
    named = f"{market}.{code}"
    return code if secid(code) == named else named
