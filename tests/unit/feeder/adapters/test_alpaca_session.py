import json
from typing import Any

from feedplane_feeder.adapters.alpaca import ADAPTER, LIMITS
from feedplane_feeder.adapters.alpaca_session import ANSWER_WITHIN_NS, AlpacaSession
from feedplane_feeder.core.ports import Channel, ConnectionPlan, ControlKind, Received
from feedplane_feeder.records import Quote

SECOND = 1_000_000_000
TRADE = Channel("AAPL", "trade")
QUOTE = Channel("AAPL", "quote")


def opened(*channels: Channel) -> AlpacaSession:
    plan = ConnectionPlan(key="stocks-0", url="", channels=channels)
    session = ADAPTER.session(plan, LIMITS)
    session.opened(0)
    return session


def sent(session: AlpacaSession, now_ns: int) -> list[Any]:
    return [json.loads(outgoing.text) for outgoing in session.due(now_ns).outgoing]


def hear(session: AlpacaSession, *messages: dict[str, Any]) -> Received:
    return session.receive([json.dumps(list(messages)).encode()], 7)


def listed(*symbols: str) -> dict[str, Any]:
    return {"T": "subscription", "trades": list(symbols), "quotes": [], "bars": []}


def refused(code: int) -> dict[str, Any]:
    return {"T": "error", "code": code, "msg": "no"}


def test_session_asks_for_one_thing_at_a_time() -> None:
    session = opened(TRADE)
    assert sent(session, 0) == [{"action": "subscribe", "trades": ["AAPL"]}]
    session.want([TRADE, Channel("MSFT", "trade")])
    assert sent(session, SECOND) == []
    assert hear(session, listed("AAPL")).acknowledged == [TRADE]
    assert sent(session, SECOND) == [{"action": "subscribe", "trades": ["MSFT"]}]


def test_unanswered_request_is_sent_again() -> None:
    session = opened(TRADE)
    first = session.due(0)
    assert first.again_ns == ANSWER_WITHIN_NS
    assert sent(session, ANSWER_WITHIN_NS - 1) == []
    assert len(sent(session, ANSWER_WITHIN_NS)) == 1


def test_refused_batch_is_halved_to_the_one() -> None:
    channels = [Channel(symbol, "trade") for symbol in ("A", "B", "C")]
    session = opened(*channels)
    refusals, now = [], 0
    for _ in range(8):
        now += SECOND
        for message in sent(session, now):
            bad = "B" in message["trades"]
            good = listed(*message["trades"])
            refusals += hear(session, refused(400) if bad else good).refusals
    assert [refusal.channel.symbol for refusal in refusals] == ["B"]


def test_symbol_limit_refuses_all_that_wait() -> None:
    session = opened(Channel("A", "trade"))
    sent(session, 0)
    session.want([Channel("A", "trade"), Channel("B", "trade")])
    found = hear(session, refused(405)).refusals
    assert {(each.channel.symbol, each.reason) for each in found} == {
        ("A", "SymbolLimit"),
        ("B", "SymbolLimit"),
    }
    assert sent(session, SECOND) == []


def test_resubscription_takes_the_channel_back_first() -> None:
    session = opened(TRADE)
    sent(session, 0)
    hear(session, listed("AAPL"))
    session.resubscribe(TRADE)
    session.resubscribe(TRADE)
    assert sent(session, SECOND) == [{"action": "unsubscribe", "trades": ["AAPL"]}]
    received = hear(session, listed())
    assert received.interrupted == {TRADE: "AAPL.ALPACA"}
    assert sent(session, 2 * SECOND) == [{"action": "subscribe", "trades": ["AAPL"]}]
    assert hear(session, listed("AAPL")).acknowledged == [TRADE]


def test_end_takes_back_what_is_listed() -> None:
    session = opened(TRADE)
    sent(session, 0)
    hear(session, listed("AAPL"))
    session.unsubscribe_all()
    assert sent(session, SECOND) == [{"action": "unsubscribe", "trades": ["AAPL"]}]


def test_error_without_a_request_gives_the_connection_up() -> None:
    session = opened()
    (control,) = hear(session, refused(400)).controls
    assert control.kind is ControlKind.RECONNECT
    assert hear(session, refused(403)).controls == []


def test_quotes_of_one_nanosecond_are_numbered_on() -> None:
    session = opened(QUOTE)

    def quote(ask: float) -> dict[str, Any]:
        time = "2024-07-24T07:56:53.639713735Z"
        return {"T": "q", "S": "AAPL", "bp": 1, "bs": 1, "ap": ask, "as": 1, "t": time}

    records = hear(session, quote(2.0), quote(2.0), quote(2.5)).records
    base = 1721807813639713735
    numbers = [record.sequence for record in records if isinstance(record, Quote)]
    assert numbers == [base, base, base + 1]
    assert session.frame_counts() == {QUOTE: 3}
