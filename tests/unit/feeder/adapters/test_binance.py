import json

import msgspec

from feedplane_api.worker import Endpoints, ListedInstrument
from feedplane_feeder.adapters.binance_spot import ADAPTER
from feedplane_feeder.core.ports import Channel


async def test_instruments_are_listed_with_whether_they_trade() -> None:
    asked: list[tuple[str, int]] = []

    async def fetch(path: str, weight: int) -> bytes:
        asked.append((path, weight))
        listed = [{"symbol": "BTCUSDT", "status": "TRADING", "filters": []}]
        halted = [{"symbol": "OLDUSDT", "status": "BREAK"}]
        return json.dumps({"timezone": "UTC", "symbols": listed + halted}).encode()

    assert await ADAPTER.instruments(fetch) == (
        ListedInstrument(symbol="BTCUSDT", trading=True),
        ListedInstrument(symbol="OLDUSDT", trading=False),
    )
    assert asked == [("/api/v3/exchangeInfo", 20)]


def test_snapshot_is_the_full_book_at_its_id() -> None:
    request = ADAPTER.snapshot_request("BTCUSDT")
    assert (request.path, request.weight) == ("/api/v3/depth?symbol=BTCUSDT&limit=1000", 50)
    body = b'{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}'
    book = ADAPTER.parse_snapshot(request, body, 7)
    assert (book.instrument_id, book.first_id, book.last_id) == ("BTCUSDT.BINANCE-SPOT", 160, 160)
    assert (book.snapshot, book.ts_event, book.ts_recv) == (True, 7, 7)
    assert msgspec.json.decode(book.bids) == [["0.0024", "10"]]


def test_snapshot_with_the_venues_time_bears_it() -> None:
    body = b'{"lastUpdateId":1,"T":1672515782136,"bids":[],"asks":[]}'
    book = ADAPTER.parse_snapshot(ADAPTER.snapshot_request("BTCUSDT"), body, 7)
    assert book.ts_event == 1_672_515_782_136_000_000


def test_configured_endpoint_takes_the_place_of_the_venues() -> None:
    endpoints = Endpoints(stream="ws://127.0.0.1:9/")
    limits = ADAPTER.capabilities.limits
    (plan,) = ADAPTER.connections([Channel("BTCUSDT", "trade")], (), endpoints, limits)
    assert plan.url == "ws://127.0.0.1:9/stream"
