import json
from typing import Any

import pytest

from feedplane_api.worker import Limits
from feedplane_feeder.adapters import binance_spot, binance_usdm
from feedplane_feeder.adapters.binance_session import (
    ANSWER_WITHIN_NS,
    GONE_AFTER_NS,
    STREAMS_PER_MESSAGE,
    WINDOW_NS,
    BinanceSession,
)
from feedplane_feeder.core.ports import Channel, ConnectionPlan
from feedplane_feeder.core.wanted import tighten

TRADE = Channel("BTCUSDT", "trade")
QUOTE = Channel("BTCUSDT", "quote")
BOOK = Channel("ETHUSDT", "book")
SECOND = 1_000_000_000
DATA = b'{"e":"aggTrade","a":1,"p":"1","q":"1","f":1,"l":1,"T":1672515782136,"m":true}'
DEPTH = b'{"e":"depthUpdate","E":1672515782136,"U":1,"u":2,"b":[],"a":[]}'
GOOD = b'{"stream":"btcusdt@aggTrade","data":%s}' % DATA
QUOTED = b'{"stream":"btcusdt@bookTicker","data":{"u":1,"b":"1","B":"1","a":"2","A":"1"}}'


def session(*channels: Channel, per_second: int | None = None) -> BinanceSession:
    adapter = binance_spot.ADAPTER
    limits = tighten(adapter.capabilities.limits, Limits(control_messages_per_second=per_second))
    plan = ConnectionPlan(key="stream-0", url="", channels=channels)
    made = adapter.session(plan, limits)
    made.opened(0)
    return made


def sent(made: BinanceSession, now_ns: int = 0) -> list[dict[str, Any]]:
    return [json.loads(outgoing.text) for outgoing in made.due(now_ns).outgoing]


def answer(made: BinanceSession, number: int, **body: object) -> Any:
    return made.receive([json.dumps({"id": number, "result": None, **body}).encode()], 1)


def refuse(made: BinanceSession, number: int | None) -> Any:
    body = {"code": 2, "msg": "no", **({} if number is None else {"id": number})}
    return made.receive([json.dumps(body).encode()], 1)


def test_session_before_it_is_open_sends_nothing() -> None:
    plan = ConnectionPlan(key="stream-0", url="", channels=(TRADE,))
    adapter = binance_spot.ADAPTER
    assert adapter.session(plan, adapter.capabilities.limits).due(0).outgoing == []


def test_session_opened_subscribes_all_and_matches_the_answer() -> None:
    made = session(TRADE, BOOK)
    (message,) = sent(made)
    assert message == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@aggTrade", "ethusdt@depth@100ms"],
        "id": 1,
    }
    assert answer(made, 1).acknowledged == [TRADE, BOOK]
    assert made.due(0).again_ns is None


def test_session_opened_again_starts_over() -> None:
    made = session(TRADE)
    sent(made)
    made.opened(SECOND)
    (message,) = sent(made, SECOND)
    assert (message["method"], message["id"]) == ("SUBSCRIBE", 2)


def test_many_channels_go_out_in_batches_within_the_limit() -> None:
    channels = [Channel(f"S{number}", "trade") for number in range(5 * STREAMS_PER_MESSAGE)]
    made = session(*channels)
    due = made.due(0)
    assert len(due.outgoing) == 3  # five a second, two kept for pongs
    assert due.again_ns == ANSWER_WITHIN_NS
    # What a bad network holds back may reach the venue all at once.
    assert made.due(WINDOW_NS).outgoing == []
    answer(made, 1)
    assert len(made.due(WINDOW_NS).outgoing) == 1
    answer(made, 2)
    answer(made, 3)
    assert len(made.due(WINDOW_NS).outgoing) == 1


def test_tightest_limit_still_sends() -> None:
    assert len(sent(session(TRADE, per_second=1))) == 1


def test_wanted_difference_goes_out_and_the_rest_stays() -> None:
    made = session(TRADE, QUOTE)
    sent(made)
    answer(made, 1)
    made.want([QUOTE, BOOK])
    assert [(each["method"], each["params"]) for each in sent(made)] == [
        ("UNSUBSCRIBE", ["btcusdt@aggTrade"]),
        ("SUBSCRIBE", ["ethusdt@depth@100ms"]),
    ]
    assert answer(made, 2).acknowledged == []
    assert answer(made, 3).acknowledged == [BOOK]
    assert set(made.frame_counts()) == {QUOTE, BOOK}


def test_resubscription_is_for_one_channel_alone() -> None:
    made = session(TRADE, QUOTE)
    sent(made)
    answer(made, 1)
    made.resubscribe(QUOTE)
    made.resubscribe(QUOTE)
    made.resubscribe(BOOK)
    (message,) = sent(made)
    assert (message["method"], message["params"]) == ("UNSUBSCRIBE", ["btcusdt@bookTicker"])
    received = answer(made, 2)
    # What came between is on no line, and the tape is told so.
    assert list(received.interrupted) == [QUOTE]
    assert received.answered
    (message,) = sent(made)
    assert (message["method"], message["params"]) == ("SUBSCRIBE", ["btcusdt@bookTicker"])
    made.resubscribe(QUOTE)
    assert sent(made) == []
    assert answer(made, 3).acknowledged == [QUOTE]


def test_channel_that_came_back_while_waiting_is_left_alone() -> None:
    made = session(TRADE, QUOTE)
    sent(made)
    answer(made, 1)
    made.resubscribe(TRADE)
    made.resubscribe(QUOTE)
    made.receive([GOOD], 1)
    assert [message["params"] for message in sent(made)] == [["btcusdt@bookTicker"]]
    made.resubscribe(TRADE)
    assert [message["params"] for message in sent(made)] == [["btcusdt@aggTrade"]]


def test_resubscription_of_what_is_not_wanted_any_more_ends_there() -> None:
    made = session(TRADE, QUOTE)
    sent(made)
    answer(made, 1)
    made.resubscribe(QUOTE)
    sent(made)
    made.want([TRADE])
    sent(made)
    assert answer(made, 2).interrupted == {}
    assert sent(made) == []


def test_unanswered_request_is_never_subscribed_twice() -> None:
    made = session(TRADE)
    assert made.due(0).outgoing
    assert made.due(1).again_ns == ANSWER_WITHIN_NS
    (message,) = sent(made, ANSWER_WITHIN_NS)
    assert (message["method"], message["id"]) == ("UNSUBSCRIBE", 2)
    assert answer(made, 1).acknowledged == []
    assert sent(made, 2 * ANSWER_WITHIN_NS)[0]["method"] == "UNSUBSCRIBE"
    answer(made, 3)
    (message,) = sent(made, 2 * ANSWER_WITHIN_NS + WINDOW_NS)
    assert message["method"] == "SUBSCRIBE"
    assert answer(made, 4).acknowledged == [TRADE]


def test_requests_asked_again_stay_within_what_the_venue_takes() -> None:
    channels = [Channel(f"S{number}", "trade") for number in range(5 * STREAMS_PER_MESSAGE)]
    made = session(*channels)
    assert len(sent(made)) == 3
    # All three may still be on their way, and come together with what is sent now.
    assert sent(made, ANSWER_WITHIN_NS) == []
    answer(made, 1)
    assert len(sent(made, ANSWER_WITHIN_NS)) == 1
    assert len(sent(made, GONE_AFTER_NS)) == 2


def test_unanswered_request_for_what_is_not_meant_any_more_is_dropped() -> None:
    made = session(TRADE, QUOTE)
    sent(made)
    answer(made, 1)
    made.want([TRADE])
    (gone,) = sent(made)
    made.want([TRADE, QUOTE])
    messages = [gone, *sent(made, 2 * SECOND)]
    answer(made, 3)
    messages += sent(made, 3 * ANSWER_WITHIN_NS)
    assert [each["method"] for each in messages] == ["UNSUBSCRIBE", "SUBSCRIBE"]


def test_refused_batch_is_halved_until_the_culprit_stands_alone() -> None:
    made = session(TRADE, QUOTE, BOOK)
    sent(made)
    assert refuse(made, 1).refusals == []
    first, second = sent(made)
    assert sorted(first["params"] + second["params"]) == [
        "btcusdt@aggTrade",
        "btcusdt@bookTicker",
        "ethusdt@depth@100ms",
    ]
    alone = first if len(first["params"]) == 1 else second
    (refusal,) = refuse(made, alone["id"]).refusals
    assert (refusal.reason, refusal.message) == ("VenueRefused", "no")


def test_refusal_without_an_id_answers_the_oldest_request() -> None:
    made = session(TRADE)
    assert refuse(made, None).refusals == []
    sent(made)
    assert [refusal.channel for refusal in refuse(made, None).refusals] == [TRADE]


def test_refusal_as_bare_text_is_kept() -> None:
    made = session(TRADE)
    sent(made)
    (refusal,) = made.receive([b'{"error":"why","id":1}'], 1).refusals
    assert refusal.message == "why"


def test_goodbye_takes_every_channel_back() -> None:
    made = session(TRADE, QUOTE)
    made.unsubscribe_all()
    (message,) = sent(made)
    assert message["method"] == "UNSUBSCRIBE"
    assert len(message["params"]) == 2


def test_good_frames_are_counted_per_channel() -> None:
    made = session(TRADE, QUOTE)
    made.receive([GOOD, GOOD, GOOD.replace(b'"1"', b'"x"')], 1)
    assert made.frame_counts() == {TRADE: 2, QUOTE: 0}


@pytest.mark.parametrize("channels", [(TRADE,), (TRADE, QUOTE)], ids=["by kind", "by name"])
@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        (GOOD, []),
        (GOOD.replace(b'{"stream"', b'{ "stream"'), []),
        (GOOD.replace(b"btcusdt", b"ethusdt"), []),
        (GOOD.replace(b'"p":"1"', b'"p":"0"'), ["ZeroPrice"]),
        (GOOD.replace(b'"p":"1"', b'"p":1'), ["MalformedFrame"]),
        (GOOD.replace(b'"aggTrade",', b'"kline",'), ["MalformedFrame"]),
        (GOOD.replace(b'"a":1', b'"e":"depthUpdate"'), ["MalformedFrame"]),
        (GOOD.replace(DATA, DEPTH), ["MalformedFrame"]),
        (GOOD[:-9], ["MalformedFrame"]),
        (b"\xff" + GOOD, ["MalformedFrame"]),
    ],
)
def test_frames_are_told_apart_the_same_by_kind_and_by_name(
    channels: tuple[Channel, ...], frame: bytes, reasons: list[str]
) -> None:
    received = session(*channels).receive([frame, GOOD], 1)
    assert [row.reason for row in received.quarantined] == reasons
    assert len(received.records) == 2 - bool(reasons) - (b"eth" in frame)


def test_wanting_a_quote_changes_how_frames_are_told_apart() -> None:
    made = session(TRADE)
    assert len(made.receive([GOOD, QUOTED], 1).records) == 1
    made.want([TRADE, QUOTE])
    assert len(made.receive([GOOD, QUOTED], 1).records) == 2
    made.want([TRADE])
    assert len(made.receive([GOOD, QUOTED], 1).records) == 1


def test_streams_of_the_derivatives_market_are_split_by_prefix() -> None:
    adapter = binance_usdm.ADAPTER
    channels = [TRADE, QUOTE, BOOK, Channel("BTCUSDT", "bar-1m")]
    plans = adapter.connections(channels, (), adapter.endpoints, adapter.capabilities.limits)
    assert {plan.url: {c.name for c in plan.channels} for plan in plans} == {
        "wss://fstream.binance.com/market/stream": {"trade", "bar-1m"},
        "wss://fstream.binance.com/public/stream": {"quote", "book"},
    }


@pytest.mark.parametrize("name", ["bar-1m", "bar-1M"])
def test_bar_streams_keep_the_case_of_their_interval(name: str) -> None:
    (message,) = sent(session(Channel("BTCUSDT", name)))
    assert message["params"] == [f"btcusdt@kline_{name[4:]}"]


def test_unusable_frame_of_a_stream_leaves_only_its_channel_in_doubt() -> None:
    made = session(TRADE, QUOTE, BOOK)
    received = made.receive([GOOD, GOOD.replace(b'"a":1', b'"a":"x"')], 7)
    assert len(received.records) == 1
    assert received.unreadable == {TRADE: "BTCUSDT.BINANCE-SPOT"}
    assert [(each.channel, each.ts_recv) for each in received.quarantined] == [("trade", 7)]


def test_frame_that_names_no_stream_leaves_all_channels_in_doubt() -> None:
    made = session(TRADE, QUOTE, BOOK)
    received = made.receive([GOOD[: len(GOOD) // 8]], 7)
    assert set(received.unreadable) == {TRADE, QUOTE, BOOK}
    assert [each.channel for each in received.quarantined] == [""]


def test_frame_of_a_stream_no_longer_wanted_leaves_nothing_in_doubt() -> None:
    made = session(TRADE, QUOTE)
    made.want([QUOTE])
    received = made.receive([GOOD], 7)
    assert (received.records, received.unreadable, received.quarantined) == ([], {}, [])
