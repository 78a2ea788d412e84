"""A CTP login, frame by frame: structs as the library hands them over, and callbacks."""

import json
import math
import struct
from typing import Any

import pytest
from msgspec.structs import replace as replace_fields

from feedplane_feeder.adapters.ctp import ADAPTER, LIMITS, OPTIONS_ADAPTER
from feedplane_feeder.adapters.ctp_fields import FUTURES, NONE, read_number
from feedplane_feeder.adapters.ctp_session import SYMBOLS_PER_MESSAGE, CtpSession
from feedplane_feeder.adapters.ctp_transport import describe_end, find_end, take_frames
from feedplane_feeder.core.ports import Channel, ConnectionPlan, ControlKind
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import Snapshot

RB = Channel("rb2605", "snapshot")
SECOND_NS = 1_000_000_000
NOW_NS = 1_767_618_001_600_000_000
"""2026-01-05 21:00:01.6 in China."""
OFFSETS = {
    "TradingDay": (0, "9s"),
    "ExchangeID": (40, "9s"),
    "LastPrice": (80, "d"),
    "OpenPrice": (112, "d"),
    "Volume": (136, "i"),
    "Turnover": (144, "d"),
    "OpenInterest": (152, "d"),
    "ClosePrice": (160, "d"),
    "SettlementPrice": (168, "d"),
    "UpdateTime": (208, "9s"),
    "UpdateMillisec": (220, "i"),
    "BidPrice1": (224, "d"),
    "BidVolume1": (232, "i"),
    "AskPrice1": (240, "d"),
    "AskVolume1": (248, "i"),
    "BidPrice2": (256, "d"),
    "BidVolume2": (264, "i"),
    "ActionDay": (392, "9s"),
    "InstrumentID": (401, "81s"),
}


def depth(**changes: Any) -> bytes:
    data = bytearray(FUTURES.struct.pack(*_empty(FUTURES.struct)))
    fields: dict[str, Any] = {
        "TradingDay": "20260106",
        "LastPrice": 3101.0,
        "Volume": 12_345,
        "Turnover": 382_818_450.0,
        "OpenInterest": 1_500_123.0,
        "UpdateTime": "21:00:01",
        "UpdateMillisec": 500,
        "BidPrice1": 3100.5,
        "BidVolume1": 20,
        "AskPrice1": NONE,
        "AskVolume1": 0,
        "ActionDay": "20260105",
        "InstrumentID": "rb2605",
        **changes,
    }
    for name, value in fields.items():
        offset, kind = OFFSETS[name]
        raw = value.encode() if isinstance(value, str) else value
        struct.pack_into("<" + kind, data, offset, raw)
    return bytes(data)


def _empty(layout: struct.Struct) -> list[Any]:
    values = layout.unpack(bytes(layout.size))
    return [NONE if isinstance(value, float) else value for value in values]


def said(on: str, **fields: object) -> bytes:
    return json.dumps({"on": on, **fields}).encode()


def session(*symbols: str) -> CtpSession:
    channels = tuple(Channel(symbol, "snapshot") for symbol in symbols or ("rb2605",))
    made = ADAPTER.session(ConnectionPlan(key="front-0", url="", channels=channels), LIMITS)
    made.opened(0)
    return made


def sent(made: CtpSession, now_ns: int) -> list[tuple[str, int]]:
    texts = [json.loads(outgoing.text) for outgoing in made.due(now_ns).outgoing]
    return [(text["do"], len(text["symbols"])) for text in texts]


def only(made: CtpSession, frame: bytes) -> Snapshot:
    (record,) = made.receive([frame], NOW_NS).records
    assert isinstance(record, Snapshot)
    return record


def test_struct_becomes_the_snapshot_it_says() -> None:
    record = only(session(), depth())
    assert record.instrument_id == "rb2605.CTP"
    assert (record.ts_event, record.ts_recv) == (NOW_NS - 100_000_000, NOW_NS)
    assert (record.trading_day, record.volume) == ("2026-01-06", 12_345)
    assert (record.last_price, record.turnover) == ("3101", "382818450")
    assert (record.bid_price, record.bid_size) == ("3100.5", "20")
    assert (record.ask_price, record.ask_size, record.open, record.settlement_price) == (None,) * 4


def test_deeper_levels_stand_behind_the_best() -> None:
    record = only(session(), depth(BidPrice2=3100.0, BidVolume2=9))
    assert (bytes(record.bids), bytes(record.asks)) == (b'[["3100","9"]]', b"[]")


def test_two_accounts_copies_have_one_fingerprint() -> None:
    first, second = only(session(), depth()), only(session(), depth(ExchangeID="SHFE"))
    assert (first.ts_event, first.fingerprint) == (second.ts_event, second.fingerprint)


@pytest.mark.parametrize(
    "changes",
    [
        {"Volume": 12_346},
        {"BidPrice1": 3099.0},
        {"BidVolume1": 21},
        {"OpenInterest": 1.0},
        {"SettlementPrice": 3100.0},
    ],
)
def test_other_values_have_another_fingerprint(changes: dict[str, Any]) -> None:
    assert only(session(), depth()).fingerprint != only(session(), depth(**changes)).fingerprint


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"UpdateTime": ""}, "NoUpdateTime", id="no time"),
        pytest.param({"UpdateTime": "21:61:00"}, "BadUpdateTime", id="no such time"),
        pytest.param({"Volume": -1}, "Negative", id="volume below zero"),
        pytest.param({"LastPrice": math.nan}, "NotDecimal", id="no number"),
        pytest.param({"ActionDay": "2026xx05"}, "BadDate", id="no such day"),
    ],
)
def test_struct_that_cannot_be_true_is_set_aside(changes: dict[str, Any], reason: str) -> None:
    received = session().receive([depth(**changes), depth()], NOW_NS)
    assert [(row.reason, row.instrument_id) for row in received.quarantined] == [
        (reason, "rb2605.CTP")
    ]
    assert len(received.records) == 1
    assert received.unreadable == {RB: "rb2605.CTP"}


def test_state_of_a_day_that_is_over_is_no_news() -> None:
    made = session()
    made.receive([said("login", trading_day="20260106")], NOW_NS)
    stale = depth(TradingDay="20260105", ActionDay="20260105", UpdateTime="15:00:00")
    received = made.receive([stale], NOW_NS)
    assert (received.records, received.unchanged) == ([], 1)
    assert made.receive([depth()], NOW_NS).records


def test_junk_outside_every_session_is_no_news() -> None:
    received = session().receive([depth(UpdateTime="19:12:31")], NOW_NS)
    assert (received.records, received.quarantined, received.unchanged) == ([], [], 1)


def test_full_market_is_asked_for_in_batches_with_pauses() -> None:
    made = session(*(f"rb{number}" for number in range(1_200)))
    assert sent(made, 0) == [("subscribe", SYMBOLS_PER_MESSAGE)]
    assert sent(made, SECOND_NS) == []
    again_ns = made.due(SECOND_NS).again_ns
    assert again_ns == 1_100_000_000
    assert sent(made, again_ns) == [("subscribe", SYMBOLS_PER_MESSAGE)]
    assert sent(made, 2 * again_ns) == [("subscribe", 200)]
    assert made.due(2 * again_ns).again_ns is None


def test_batch_that_was_too_much_is_asked_for_again_later() -> None:
    made = session()
    sent(made, 0)
    received = made.receive([said("sent", error=-3, symbols=["rb2605"])], SECOND_NS)
    assert received.answered
    assert sent(made, 2 * SECOND_NS) == []
    assert sent(made, 3 * SECOND_NS) == [("subscribe", 1)]


def test_answers_and_first_structs_acknowledge_once() -> None:
    made = session("rb2605", "au2606", "IF2606")
    first = made.receive([said("subscribed", symbol="rb2605"), depth()], NOW_NS)
    assert first.acknowledged == [RB]
    second = made.receive([depth(InstrumentID="au2606")], NOW_NS)
    assert second.acknowledged == [Channel("au2606", "snapshot")]
    assert made.frame_counts()[RB] == 1


def test_answer_that_never_comes_is_not_waited_for() -> None:
    made = session()
    made.receive([said("sent", symbols=["rb2605"])], SECOND_NS)
    assert made.receive([said("alive")], 3 * SECOND_NS).acknowledged == []
    assert made.receive([said("alive")], 7 * SECOND_NS).acknowledged == [RB]
    assert made.receive([said("alive")], 9 * SECOND_NS).acknowledged == []


def test_refused_instrument_is_told_with_the_fronts_words() -> None:
    frame = said("subscribed", symbol="rb2605", error=16, message="CTP:no such instrument")
    (refusal,) = session().receive([frame], NOW_NS).refusals
    assert (refusal.channel, refusal.message) == (RB, "CTP:no such instrument")


def test_front_that_is_gone_asks_for_another_connection() -> None:
    (control,) = session().receive([said("disconnected", error=4097)], NOW_NS).controls
    assert (control.kind, control.reason) == (ControlKind.RECONNECT, "FrontDisconnected4097")


def test_overflow_interrupts_every_channel() -> None:
    received = session().receive([said("overflowed", count=7)], NOW_NS)
    assert received.interrupted == {RB: "rb2605.CTP"}


def test_wanted_channels_change_by_their_difference() -> None:
    made = session()
    sent(made, 0)
    made.want([Channel("au2606", "snapshot")])
    assert sent(made, 2 * SECOND_NS) == [("unsubscribe", 1)]
    assert sent(made, 4 * SECOND_NS) == [("subscribe", 1)]
    assert made.receive([depth()], NOW_NS).records == []


def test_mute_channel_is_asked_for_again_alone() -> None:
    made = session("rb2605", "au2606")
    made.resubscribe(RB)
    assert sent(made, 0) == [("subscribe", 2)]
    made.resubscribe(RB)
    made.resubscribe(RB)
    assert sent(made, 2 * SECOND_NS) == [("subscribe", 1)]
    made.unsubscribe_all()
    assert sent(made, 4 * SECOND_NS) == [("unsubscribe", 2)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NONE, None),
        (0.0, "0"),
        (-0.0, "0"),
        (-12.5, "-12.5"),
        (0.002, "0.002"),
        (1e-7, "0.0000001"),
        (1e18, "1000000000000000000"),
        (3101.0, "3101"),
    ],
)
def test_number_is_printed_in_plain_digits(value: float, text: str | None) -> None:
    assert read_number(value) == text


def test_number_that_is_none_is_impossible() -> None:
    with pytest.raises(ImpossibleValueError):
        read_number(-math.inf)


def test_stock_option_takes_its_wide_volume() -> None:
    channel = Channel("10004567", "snapshot")
    plan = ConnectionPlan(key="front-0", url="", channels=(channel,))
    made = OPTIONS_ADAPTER.session(plan, LIMITS)
    data = bytearray(440)
    data[:8], data[9:17], data[40:43] = b"20260105", b"10004567", b"SSE"
    data[208:216] = b"14:59:59"
    struct.pack_into("<q", data, 432, 3_000_000_000)
    (record,) = made.receive([bytes(data)], NOW_NS).records
    assert isinstance(record, Snapshot)
    assert (record.instrument_id, record.volume) == ("10004567.CTP-SOPT", 3_000_000_000)
    assert replace_fields(record, volume=1).trading_day == "2026-01-05"


def test_frames_are_taken_whole_off_a_stream() -> None:
    stream = bytearray(b"".join(len(f).to_bytes(4, "little") + f for f in (b"one", b"", b"three")))
    rest = stream[-2:]
    del stream[-2:]
    assert take_frames(stream) == [b"one", b""]
    stream += rest
    assert take_frames(stream) == [b"three"]
    assert stream == b""


def test_end_of_a_front_is_said_in_words() -> None:
    frames = [depth(), said("alive"), said("disconnected", error=8193)]
    assert find_end(frames) == "the front is gone: no heartbeat came (8193)"
    assert find_end(frames[:2]) is None
    assert describe_end({"error": 7}) == "the front is gone: unknown reason (7)"
