import pytest

from feedplane_simulator.config import Market
from feedplane_simulator.events import VenueEvent
from feedplane_simulator.truth import DeliveredStream, Truth

KEY = (Market.SPOT, "aggTrade", "BTCUSDT")


def event(sequence: int, payload: bytes = b"{}", *, final: bool = True) -> VenueEvent:
    return VenueEvent("aggTrade", "BTCUSDT", "btcusdt@aggTrade", sequence, payload, final)


def build_truth(count: int, payload_bytes: int = 10_000) -> Truth:
    truth = Truth(payload_bytes)
    for sequence in range(1, count + 1):
        truth.record(Market.SPOT, event(sequence), 1000 + sequence)
    return truth


def test_emitted_events_are_counted_with_their_range() -> None:
    truth = build_truth(5)
    truth.record(Market.SPOT, event(6, final=False), 2000)
    [row] = truth.summarize()
    assert row["emitted"] == {"count": 5, "updates": 6, "first": 1, "last": 5, "lastTime": 2000}
    assert truth.ids(KEY, after=2, until=4) == [3, 4]


def test_mark_splits_before_from_after() -> None:
    truth = build_truth(5)
    truth.mark("m")
    [quiet] = truth.summarize("m")
    assert (quiet["emitted"]["count"], quiet["emitted"]["first"]) == (0, None)
    truth.record(Market.SPOT, event(9), 3000)
    truth.record(Market.SPOT, event(12), 3001)
    [row] = truth.summarize("m")
    assert {k: row["emitted"][k] for k in ("count", "first", "last")} == {
        "count": 2,
        "first": 9,
        "last": 12,
    }
    with pytest.raises(KeyError):
        truth.summarize("other")


def test_payloads_over_the_bound_are_forgotten_oldest_first() -> None:
    truth = build_truth(20, payload_bytes=5 * 66)
    assert [sequence for sequence, _, _ in truth.events(KEY)] == [16, 17, 18, 19, 20]
    assert truth.emitted[KEY].count == 20


def test_delivery_window_is_bounded_by_emitted_ids() -> None:
    truth = build_truth(3)
    opened = DeliveredStream(1, "btcusdt@aggTrade", 1003, None)
    window = truth.subscribed(Market.SPOT, "aggTrade", "BTCUSDT", opened)
    for sequence in (4, 5, 6):
        truth.record(Market.SPOT, event(sequence), 2000)
        if sequence == 5:
            window.withhold(sequence)
        else:
            window.sent(sequence, 2000)
    truth.unsubscribed(Market.SPOT, "aggTrade", "BTCUSDT", window, 2500)
    [row] = truth.summarize()
    [delivered] = row["delivered"]
    assert (delivered["after"], delivered["until"], delivered["endedTime"]) == (3, 6, 2500)
    assert (delivered["count"], delivered["first"], delivered["last"]) == (2, 4, 6)
    assert list(window.withheld) == [5]


def test_lazy_accounts_are_settled_before_reading() -> None:
    truth = Truth(1000)
    channel = truth.channel(*KEY)
    truth.before_read.append(lambda: channel.record_span(10, 19, 10, 1))
    [row] = truth.summarize()
    assert (row["emitted"]["count"], row["emitted"]["last"]) == (10, 19)


def test_deliveries_are_runs_of_ids_by_account() -> None:
    truth = build_truth(3)
    windows = {}
    for number, account in ((1, "a"), (2, "b")):
        opened = DeliveredStream(number, "btcusdt@aggTrade", 1003, None, account=account)
        windows[account] = truth.subscribed(Market.SPOT, "aggTrade", "BTCUSDT", opened)
    for sequence in range(4, 11):
        truth.record(Market.SPOT, event(sequence), 1000 + sequence)
        windows["b"].sent(sequence, 1000 + sequence)
        if sequence == 7:
            windows["a"].withhold(sequence)
        else:
            windows["a"].sent(sequence, 1000 + sequence)
    told = truth.deliveries(KEY, with_ids=True)
    [of_a], [of_b] = told["a"], told["b"]
    assert of_a["ids"] == [4, 5, 6, 8, 9, 10]
    assert of_a["spans"] == [
        {"first": 4, "last": 6, "firstTime": 1004, "lastTime": 1006, "count": 3},
        {"first": 8, "last": 10, "firstTime": 1008, "lastTime": 1010, "count": 3},
    ]
    assert [span["count"] for span in of_b["spans"]] == [7]
    assert truth.deliveries(KEY, "c") == {}


def test_connection_that_was_sent_nothing_has_no_runs() -> None:
    truth = build_truth(3)
    opened = DeliveredStream(1, "btcusdt@aggTrade", 1003, None, account="a")
    window = truth.subscribed(Market.SPOT, "aggTrade", "BTCUSDT", opened)
    assert truth.spans(KEY, window) == []
