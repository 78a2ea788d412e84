from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from feedplane_feeder.adapters.eastmoney_list import read_list
from feedplane_simulator.eastmoney import LIST_ROWS_MAX, build_list, build_symbols

CODES = build_symbols(250)
SHARES = {"fs": "m:0 t:6,m:1 t:2", "np": "1"}


async def test_list_is_read_whole_by_the_adapter() -> None:
    asked: list[str] = []

    async def fetch(path: str, _weight: int) -> bytes:
        asked.append(path)
        return msgspec.json.encode(build_list(CODES, dict(parse_qsl(urlsplit(path).query))))

    listed = await read_list(fetch)
    assert [each.symbol for each in listed] == sorted(CODES)
    assert len(asked) == 3


def test_page_holds_no_more_rows_than_it_may() -> None:
    page = build_list(CODES, SHARES | {"pz": "5000"})
    assert page["data"]["total"] == 250
    assert len(page["data"]["diff"]) == LIST_ROWS_MAX


@pytest.mark.parametrize(
    "query",
    [SHARES | {"pn": "4", "pz": "100"}, {"fs": "m:116 t:3", "np": "1"}, {}],
    ids=["past the end", "another board", "no board"],
)
def test_page_without_rows_says_that_all_is_well(query: dict[str, str]) -> None:
    page = build_list(CODES, query)
    assert (page["rc"], page["data"]) == (0, None)


def test_page_is_ordered_and_keyed_as_asked() -> None:
    page = build_list(CODES, {"fs": "m:0 t:6", "po": "1", "pz": "2", "fields": "f12"})
    assert page["data"]["diff"] == {"0": {"f12": "300750"}, "1": {"f12": "002594"}}
