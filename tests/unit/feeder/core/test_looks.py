"""Looks become records when they say something new."""

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from feedplane_feeder.core.looks import (
    Look,
    Watched,
    build_quote,
    build_snapshot,
    channels_of,
    check_look,
    read_local_time,
)
from feedplane_feeder.core.ports import Channel, Received
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import Quote, Snapshot

HONG_KONG = timezone(timedelta(hours=8))
QUOTE, SNAPSHOT = Channel("00700", "quote"), Channel("00700", "snapshot")
NOON = 1_786_075_200 * 10**9
LOOK = Look(
    time_ns=NOON,
    last="10.5",
    bid_price="10.4",
    bid_size="100",
    ask_price="10.5",
    ask_size="200",
    volume="1000.0",
    high="11",
    low="10",
)


def watch(*channels: Channel) -> Watched:
    watched = Watched("00700.FUSHU", HONG_KONG)
    watched.want(channels or (QUOTE, SNAPSHOT))
    return watched


def take(watched: Watched, look: Look) -> Received:
    received = Received()
    watched.take(look, look.time_ns + 1, received)
    return received


def test_channels_of_instruments_lead_to_their_instrument() -> None:
    assert channels_of([watch(), watch(SNAPSHOT)]) == {
        QUOTE: "00700.FUSHU",
        SNAPSHOT: "00700.FUSHU",
    }
    assert channels_of([]) == {}


def test_first_look_confirms_its_channels_and_makes_both_records() -> None:
    received = take(watch(), LOOK)
    assert received.acknowledged == [QUOTE, SNAPSHOT]
    assert [type(record) for record in received.records] == [Quote, Snapshot]
    assert received.unchanged == 0


def test_look_that_says_the_same_later_is_no_record() -> None:
    watched = watch()
    take(watched, LOOK)
    received = take(watched, replace(LOOK, time_ns=NOON + 10**9))
    assert (received.records, received.acknowledged, received.unchanged) == ([], [], 1)
    assert watched.frames == 2


def test_trade_without_a_new_quote_is_a_snapshot_only() -> None:
    watched = watch()
    take(watched, LOOK)
    received = take(watched, replace(LOOK, last="10.4", volume="1100"))
    assert [type(record) for record in received.records] == [Snapshot]


def test_look_without_a_side_is_no_quote() -> None:
    received = take(watch(QUOTE), replace(LOOK, bid_price=None))
    assert (received.records, received.unchanged) == ([], 1)


def test_channel_of_another_kind_stays_empty() -> None:
    assert take(watch(Channel("00700", "trade")), LOOK).records == []


def test_new_channel_begins_with_the_next_look() -> None:
    watched = watch(QUOTE)
    take(watched, LOOK)
    watched.want((QUOTE, SNAPSHOT))
    received = take(watched, LOOK)
    assert received.acknowledged == [SNAPSHOT]
    assert [type(record) for record in received.records] == [Quote, Snapshot]


def test_channel_given_up_takes_nothing_from_the_rest() -> None:
    watched = watch()
    take(watched, LOOK)
    watched.want((SNAPSHOT,))
    assert take(watched, LOOK).records == []


def test_channel_asked_for_again_is_confirmed_again() -> None:
    watched = watch(QUOTE)
    take(watched, LOOK)
    watched.renew(QUOTE)
    assert take(watched, LOOK).acknowledged == [QUOTE]


def test_two_accounts_make_equal_keys_of_one_look() -> None:
    first, second = build_quote(LOOK, "A.B", 1), build_quote(LOOK, "A.B", 2)
    assert first.sequence == second.sequence < 2**63
    one, two = build_snapshot(LOOK, "A.B", 1, HONG_KONG), build_snapshot(LOOK, "A.B", 2, HONG_KONG)
    assert one.fingerprint == two.fingerprint
    assert build_quote(replace(LOOK, bid_size="1"), "A.B", 1).sequence != first.sequence
    later = build_quote(replace(LOOK, time_ns=NOON + 10**9), "A.B", 1)
    assert later.sequence > first.sequence


def test_snapshot_carries_the_look_and_its_local_day() -> None:
    late_ns = read_local_time("2026-08-07T23:30:00", HONG_KONG)
    look = replace(LOOK, time_ns=late_ns, bids=(("10.3", "5"),), turnover="12.5")
    snapshot = build_snapshot(look, "A.B", 1, HONG_KONG)
    assert (snapshot.trading_day, snapshot.volume, snapshot.turnover) == (
        "2026-08-07",
        1000,
        "12.5",
    )
    assert bytes(snapshot.bids) == b'[["10.3","5"]]'
    assert build_snapshot(replace(LOOK, volume=None), "A.B", 1, HONG_KONG).volume == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bid_price": "10.6"}, "CrossedQuote"),
        ({"last": "-1"}, "Negative"),
        ({"last": "12"}, "ImpossibleRange"),
        ({"last": "ten"}, "NotDecimal"),
        ({"volume": "-5"}, "Negative"),
        ({"turnover": "much"}, "NotDecimal"),
        ({"upper_limit": "1e5"}, "NotDecimal"),
    ],
)
def test_values_that_cannot_be_true_are_refused(change: dict[str, str], reason: str) -> None:
    with pytest.raises(ImpossibleValueError) as raised:
        check_look(replace(LOOK, **change))  # type: ignore[arg-type]  # all of them are texts
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    "change", [{"last": "0.000"}, {"high": "0", "low": "0"}, {"last": None}, {"bid_price": None}]
)
def test_values_not_there_yet_are_let_through(change: dict[str, str | None]) -> None:
    check_look(replace(LOOK, **change))  # type: ignore[arg-type]  # all of them are texts


def test_look_from_the_future_is_refused_and_kept_out() -> None:
    watched = watch()
    received = Received()
    with pytest.raises(ImpossibleValueError):
        watched.take(LOOK, NOON - 2 * 3600 * 10**9, received)
    assert (received.records, received.acknowledged, watched.frames) == ([], [], 0)


def test_what_cannot_be_used_is_kept_once() -> None:
    watched, received = watch(), Received()
    watched.set_aside("fushu", "Negative", "row", 1, received)
    watched.set_aside("fushu", "Negative", "row", 2, received)
    watched.set_aside("fushu", "Negative", "another", 3, received)
    assert [row.raw for row in received.quarantined] == ["row", "another"]
    assert set(received.unreadable) == {QUOTE, SNAPSHOT}
    Watched("A.B", HONG_KONG).set_aside("fushu", "Negative", "row", 1, received)
    assert received.quarantined[-1].channel == ""


def test_local_time_is_read_with_and_without_zone() -> None:
    assert read_local_time("2026-08-07T16:00:00", HONG_KONG) == read_local_time(
        "2026-08-07T08:00:00+00:00", HONG_KONG
    )
    slashed = read_local_time("2026/08/07 16:00:00", HONG_KONG, "%Y/%m/%d %H:%M:%S")
    assert slashed == 1_786_089_600 * 10**9


@pytest.mark.parametrize("text", ["", "16:00", "1970-01-01T00:00:00", "9999-12-31T00:00:00"])
def test_time_that_no_clock_shows_is_refused(text: str) -> None:
    with pytest.raises(ImpossibleValueError):
        read_local_time(text, HONG_KONG)
