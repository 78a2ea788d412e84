"""The board list: pages as public clients read them, constructed here."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from feedplane_feeder.adapters.eastmoney import ADAPTER
from feedplane_feeder.adapters.eastmoney_frames import secid
from feedplane_feeder.adapters.eastmoney_list import BOARDS, page_path, read_list, spell_symbol
from feedplane_feeder.errors import MalformedFrameError

HEAD = {"rc": 0, "rt": 6, "svr": 177542529, "lt": 1, "full": 1, "dlmkts": "8,10,128", "dsc": "0"}


def row(code: str, market: int = 1) -> dict[str, Any]:
    return {"f12": code, "f13": market}


def page(total: int, *rows: dict[str, Any]) -> bytes:
    return json.dumps(HEAD | {"data": {"total": total, "diff": rows}}).encode()


def pages(*bodies: bytes) -> Callable[[str, int], Awaitable[bytes]]:
    async def fetch(path: str, weight: int) -> bytes:
        query = dict(parse_qsl(urlsplit(path).query))
        assert weight == 1
        return bodies[int(query["pn"]) - 1]

    return fetch


EMPTY = json.dumps(HEAD | {"data": None}).encode()


async def test_list_is_read_page_by_page_to_its_end() -> None:
    first = page(3, row("000001", 0), row("600519"))
    listed = await read_list(pages(first, page(3, row("920002", 0))))
    assert [each.symbol for each in listed] == ["000001", "600519", "920002"]
    assert all(each.trading for each in listed)


async def test_list_of_one_page_is_asked_for_once() -> None:
    listed = await ADAPTER.instruments(pages(page(1, row("600519"))))
    assert listed is not None
    assert [each.symbol for each in listed] == ["600519"]


async def test_page_that_shrank_meanwhile_does_not_end_the_list() -> None:
    # A share left the list between two pages; the last one is shorter than was told.
    first = page(5, row("600001"), row("600002"))
    listed = await read_list(pages(first, page(4, row("600003"), row("600004")), page(4, row("7"))))
    assert len(listed) == 5


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([EMPTY], id="nothing at all"),
        pytest.param([page(3, row("600001")), EMPTY], id="nothing any more"),
        pytest.param([page(2, row("600001"))] * 2, id="the same page again"),
        pytest.param([page(0, row("600001"))], id="a total below the rows"),
        pytest.param([page(10**9, row("600001"))], id="a total beyond belief"),
        pytest.param([b'{"rc":102,"data":null}'], id="a refusal"),
        pytest.param([b'{"rc":0,"data":{"total":1,"diff":[{"f12":"1"}]}}'], id="no market"),
        pytest.param([b"<html>"], id="no answer"),
    ],
)
async def test_list_that_cannot_be_whole_is_refused(bodies: list[bytes]) -> None:
    with pytest.raises(MalformedFrameError):
        await read_list(pages(*bodies))


@pytest.mark.parametrize(
    ("market", "code", "symbol"),
    [
        (1, "600519", "600519"),
        (0, "000001", "000001"),
        (0, "920002", "920002"),
        (1, "000001", "1.000001"),
        (0, "900001", "0.900001"),
    ],
)
def test_symbol_leads_back_to_its_market(market: int, code: str, symbol: str) -> None:
    assert spell_symbol(market, code) == symbol
    assert secid(symbol) == f"{market}.{code}"


def test_pages_are_sorted_by_what_no_trade_changes() -> None:
    query = dict(parse_qsl(urlsplit(page_path(7)).query))
    assert (query["pn"], query["fid"], query["po"], query["np"]) == ("7", "f12", "0", "1")
    assert query["fs"] == BOARDS.replace("+", " ")
