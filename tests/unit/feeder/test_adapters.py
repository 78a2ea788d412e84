"""Every adapter of the registry against its fixture: one frame a line, and what it becomes.

A new venue needs no test code here: a line in registry.py and `fixtures/<venue>.jsonl` will do.
"""

import asyncio
import contextlib
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.ports import Channel, ConnectionPlan, Received, Session, TransportKind
from feedplane_feeder.errors import MalformedFrameError
from feedplane_feeder.records import ChannelKind, Record
from feedplane_feeder.registry import ADAPTERS, HISTORIES, find_adapter

FIXTURES = Path(__file__).parent / "fixtures"
PROVENANCE = {"source", "captured", "constructed", "date", "licence", "channels"}
MUST_CONTAIN = ("MalformedFrame",)
STANDING_MUST_CONTAIN = ("confirmed", "refused", "gap", "announced")
"""What only a connection that stands can show; a polled venue has no such frames."""


def read_fixture(venue: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = (FIXTURES / f"{venue}.jsonl").read_text().splitlines()
    first, *cases = [json.loads(line) for line in lines]
    return first, cases


def all_cases() -> list[Any]:
    return [
        pytest.param(path.stem, case, id=f"{path.stem}: {case['case']}")
        for path in sorted(FIXTURES.glob("*.jsonl"))
        for case in read_fixture(path.stem)[1]
    ]


def venues_with(kind: str) -> list[str]:
    return [venue for venue, a in ADAPTERS.items() if kind in a.capabilities.channels]


def open_session(venue: str) -> Session:
    adapter = find_adapter(venue)
    channels = tuple(Channel(*each) for each in read_fixture(venue)[0]["channels"])
    plan = ConnectionPlan(key="stream-0", url="", channels=channels)
    session = adapter.session(plan, adapter.capabilities.limits)
    session.opened(0)
    session.due(0)
    return session


def frame_of(case: dict[str, Any]) -> bytes:
    """The frame of a case, which stands as base64 where it is no text."""
    if "frame_base64" in case:
        return b64decode(case["frame_base64"])
    return str(case["frame"]).encode()


def describe(record: Record) -> dict[str, Any]:
    fields = {"type": type(record).__name__, **msgspec.structs.asdict(record)}
    return {
        key: json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else value
        for key, value in fields.items()
    }


def test_every_adapter_has_its_fixture() -> None:
    present = {path.stem for path in FIXTURES.glob("*.jsonl")}
    assert present == set(ADAPTERS), (
        "each adapter in registry.py needs tests/unit/feeder/fixtures/<venue>.jsonl, and no other"
    )


@pytest.mark.parametrize("venue", ADAPTERS)
def test_fixture_says_where_it_comes_from(venue: str) -> None:
    first, cases = read_fixture(venue)
    assert set(first) == PROVENANCE | {"conformance"}, (
        f"the first line must hold {sorted(PROVENANCE)}"
    )
    text = "\n".join(json.dumps(case) for case in cases)
    polled = find_adapter(venue).capabilities.transport is TransportKind.HTTP_POLLING
    must = MUST_CONTAIN if polled else (*MUST_CONTAIN, *STANDING_MUST_CONTAIN)
    excused = read_fixture(venue)[0]["conformance"].get("cannotShow", {})
    missing = [word for word in must if word not in text and word not in excused]
    assert missing == [], "a fixture needs acknowledgement, refusal, gap, malformed frame, end"


@pytest.mark.parametrize("venue", ADAPTERS)
def test_fixture_has_a_record_of_each_channel(venue: str) -> None:
    types = {
        record["type"] for case in read_fixture(venue)[1] for record in case.get("records", ())
    }
    names = {
        "trade": "Trade",
        "quote": "Quote",
        "bar": "Bar",
        "book": "BookDelta",
        "metric": "Metric",
        "snapshot": "Snapshot",
    }
    kinds = find_adapter(venue).capabilities.channels
    assert types == {names[kind] for kind in kinds}, "each channel of the venue needs a frame"


@pytest.mark.parametrize(("venue", "case"), all_cases())
def test_frame_becomes_what_its_fixture_says(venue: str, case: dict[str, Any]) -> None:
    session = open_session(venue)
    received = session.receive([frame_of(case)], case["ts_recv"])
    assert [describe(record) for record in received.records] == case.get("records", [])
    assert len(received.acknowledged) == case.get("acknowledged", 0)
    assert len(session.due(10**12).outgoing) >= case.get("requests", 0)
    assert [control.kind.value for control in received.controls] == (
        [case["control"]] if "control" in case else []
    )
    aside = [[row.channel, row.reason] for row in received.quarantined]
    assert aside == ([case["quarantined"]] if "quarantined" in case else [])


@pytest.mark.parametrize("venue", ADAPTERS)
def test_frame_set_aside_names_the_venue_and_keeps_its_text(venue: str) -> None:
    frame = b"nonsense" * 1_000
    (row,) = open_session(venue).receive([frame], 7).quarantined
    assert (row.venue, row.ts_recv, row.raw) == (venue, 7, frame[:4_096].decode())


@pytest.mark.parametrize("venue", ADAPTERS)
@given(noise=st.binary(max_size=60))
def test_random_bytes_are_set_aside_or_passed_over(venue: str, noise: bytes) -> None:
    assert isinstance(open_session(venue).receive([noise], 1), Received)


@pytest.mark.parametrize("venue", ADAPTERS)
@given(data=st.data())
def test_damaged_frames_never_stop_the_rest(venue: str, data: st.DataObject) -> None:
    # The first one stays whole; where states are told, no other may be about its instrument.
    cases = [case for case in read_fixture(venue)[1] if "records" in case]
    frame = bytearray(frame_of(data.draw(st.sampled_from(cases[1:]))))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    good = cases[0]
    received = open_session(venue).receive([bytes(frame), frame_of(good)], good["ts_recv"])
    assert describe(received.records[-1]) == good["records"][0]


@pytest.mark.parametrize("venue", ADAPTERS)
def test_adapter_tells_its_limits_and_places_within_them(venue: str) -> None:
    adapter = find_adapter(venue)
    assert adapter.venue == venue
    assert adapter.capabilities.channels <= set(ChannelKind)
    limits = adapter.capabilities.limits
    channel = read_fixture(venue)[0]["channels"][0][1]
    wanted = [Channel(f"S{number}", channel) for number in range(limits.streams_per_connection + 1)]
    plans = adapter.connections(wanted, (), adapter.endpoints, limits)
    assert len(plans) == 2
    assert all(len(plan.channels) <= limits.streams_per_connection for plan in plans)
    assert all(plan.url.startswith(str(adapter.endpoints.stream)) for plan in plans)
    again = adapter.connections(
        [*wanted, Channel("NEW", channel)], plans, adapter.endpoints, limits
    )
    assert {plan.key: set(plan.channels) - {Channel("NEW", channel)} for plan in again} == {
        plan.key: set(plan.channels) for plan in plans
    }


@pytest.mark.parametrize("venue", ADAPTERS)
def test_instrument_list_is_asked_for_where_it_is_declared(venue: str) -> None:
    asked: list[str] = []

    async def fetch(path: str, _weight: int) -> bytes:
        asked.append(path)
        return b"<html>"

    with contextlib.suppress(MalformedFrameError):
        asyncio.run(find_adapter(venue).instruments(fetch))
    assert bool(asked) is (find_adapter(venue).capabilities.instruments is not None)


@pytest.mark.parametrize("venue", ADAPTERS)
def test_instrument_list_that_is_none_is_refused(venue: str) -> None:
    async def fetch(_path: str, _weight: int) -> bytes:
        return b"<html>"

    async def listed() -> None:
        # A venue without a list asks for none.
        if await find_adapter(venue).instruments(fetch) is None:
            raise MalformedFrameError("no list", b"")

    with pytest.raises(MalformedFrameError):
        asyncio.run(listed())


@pytest.mark.parametrize("venue", venues_with("book"))
def test_snapshot_that_is_none_is_refused(venue: str) -> None:
    adapter = find_adapter(venue)
    request = adapter.snapshot_request("BTCUSDT")
    assert request.channel == Channel("BTCUSDT", "book")
    with pytest.raises(MalformedFrameError):
        adapter.parse_snapshot(request, b'{"bids":1}', 1)


@pytest.mark.parametrize("venue", ADAPTERS)
def test_ids_that_are_no_run_are_below_zero(venue: str) -> None:
    numbered = "trade" in find_adapter(venue).capabilities.numbered
    ids = [
        record["trade_id"]
        for case in read_fixture(venue)[1]
        for record in case.get("records", ())
        if record["type"] == "Trade"
    ]
    assert all((number >= 0) is numbered for number in ids)


@pytest.mark.parametrize("venue", HISTORIES)
@given(noise=st.binary(max_size=60))
def test_random_pages_are_refused_or_read(venue: str, noise: bytes) -> None:
    history = HISTORIES[venue]
    channel = next(c for c in ("trade", "bar-1m", "bar-1d", "metric") if history.carries(c))
    for page in history.pages("600000", channel, 0, 10**18):
        with contextlib.suppress(MalformedFrameError):
            history.next_page(page, history.parse_page(page, noise))


@pytest.mark.parametrize("venue", ADAPTERS)
@given(noise=st.binary(max_size=60))
def test_random_instrument_lists_are_refused_or_read(venue: str, noise: bytes) -> None:
    async def fetch(_path: str, _weight: int) -> bytes:
        return noise

    with contextlib.suppress(MalformedFrameError):
        asyncio.run(find_adapter(venue).instruments(fetch))


@pytest.mark.parametrize("venue", venues_with("book"))
@given(noise=st.binary(max_size=60))
def test_random_books_are_refused_or_read(venue: str, noise: bytes) -> None:
    adapter = find_adapter(venue)
    with contextlib.suppress(MalformedFrameError):
        adapter.parse_snapshot(adapter.snapshot_request("BTCUSDT"), noise, 1)
