from dataclasses import replace

import pytest

from feedplane_api.worker import (
    ChannelState,
    FileSinkConfig,
    Limits,
    Selector,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.core.coverage import Reason
from feedplane_feeder.core.instrument_list import InstrumentList
from feedplane_feeder.core.ports import (
    Capabilities,
    Channel,
    ConnectionPlan,
    TransportKind,
    VenueLimits,
)
from feedplane_feeder.core.wanted import build_should_list, seat_plans, tighten

LIMITS = VenueLimits(
    control_messages_per_second=5,
    streams_per_connection=1_024,
    connects_per_five_minutes=300,
    request_weight_per_minute=6_000,
    connection_life_seconds=86_400,
    ping_timeout_seconds=80,
)
CAPABILITIES = Capabilities(
    channels=frozenset({"trade", "bar"}),
    bar_intervals=frozenset({"1m"}),
    transport=TransportKind.WEBSOCKET,
    limits=LIMITS,
)
LISTED = {"BTCUSDT": True, "ETHUSDT": True, "OLDUSDT": False}


def config(
    *, wanted: tuple[Wanted, ...] = (), selectors: tuple[Selector, ...] = ()
) -> WorkerConfig:
    return WorkerConfig(
        venue="some-venue",
        wanted=wanted,
        selectors=selectors,
        sinks=(FileSinkConfig(path="-"),),
    )


def test_named_symbols_before_the_list_are_taken_on_trust() -> None:
    wanted = (Wanted(symbol="ANY", channels=("trade",)),)
    selectors = (Selector(include=("*",), channels=("trade",)),)
    should = build_should_list(config(wanted=wanted, selectors=selectors), CAPABILITIES, None)
    assert should.channels == {Channel("ANY", "trade")}
    assert should.excluded == {}


def test_names_beside_a_partial_list_are_taken_on_trust() -> None:
    partial = replace(CAPABILITIES, instruments=InstrumentList(complete=False))
    wanted = tuple(Wanted(symbol=name, channels=("trade",)) for name in ("OTHER", "OLDUSDT"))
    selectors = (Selector(include=("*",), channels=("trade",)),)
    should = build_should_list(config(wanted=wanted, selectors=selectors), partial, LISTED)
    assert {channel.symbol for channel in should.channels} == {"OTHER", "BTCUSDT", "ETHUSDT"}
    assert should.excluded == {
        Channel("OLDUSDT", "trade"): (ChannelState.RETIRED, Reason.NOT_TRADING)
    }


def test_symbols_not_listed_or_not_trading_retire_with_the_reason() -> None:
    wanted = (
        Wanted(symbol="BTCUSDT", channels=("trade",)),
        Wanted(symbol="OLDUSDT", channels=("trade",)),
        Wanted(symbol="NOPE", channels=("trade",)),
    )
    should = build_should_list(config(wanted=wanted), CAPABILITIES, LISTED)
    assert should.channels == {Channel("BTCUSDT", "trade")}
    assert should.excluded == {
        Channel("OLDUSDT", "trade"): (ChannelState.RETIRED, Reason.NOT_TRADING),
        Channel("NOPE", "trade"): (ChannelState.RETIRED, Reason.NOT_LISTED),
    }
    assert len(should.wanted()) == 3


def test_channels_a_venue_does_not_have_are_refused() -> None:
    wanted = (Wanted(symbol="BTCUSDT", channels=("book", "bar-1m", "bar-1s")),)
    should = build_should_list(config(wanted=wanted), CAPABILITIES, LISTED)
    assert should.channels == {Channel("BTCUSDT", "bar-1m")}
    assert {channel.name: reason for channel, (_, reason) in should.excluded.items()} == {
        "book": Reason.NOT_SUPPORTED,
        "bar-1s": Reason.NOT_SUPPORTED,
    }


def test_selector_takes_trading_symbols_that_match() -> None:
    selectors = (Selector(include=("*usdt",), exclude=("ETH*",), channels=("trade", "bar-1m")),)
    should = build_should_list(config(selectors=selectors), CAPABILITIES, LISTED)
    assert should.channels == {Channel("BTCUSDT", "trade"), Channel("BTCUSDT", "bar-1m")}


def test_limits_are_tightened_and_never_loosened() -> None:
    limits = tighten(LIMITS, Limits(control_messages_per_second=3, streams_per_connection=99_999))
    assert limits.control_messages_per_second == 3
    assert limits.streams_per_connection == 1_024
    assert limits.connects_per_five_minutes == 300
    assert limits.connection_life_seconds == 86_400


@pytest.mark.parametrize(
    ("venue", "asked", "left"),
    [(None, None, None), (None, 1, 1), (2, None, 2), (2, 5, 2), (2, 1, 1)],
)
def test_sessions_of_an_account_are_the_fewest_of_both(
    venue: int | None, asked: int | None, left: int | None
) -> None:
    limits = tighten(
        replace(LIMITS, sessions_per_account=venue), Limits(sessions_per_account=asked)
    )
    assert limits.sessions_per_account == left


PLANS = tuple(
    ConnectionPlan(
        key=key, url="ws://x", channels=tuple(Channel(symbol, "trade") for symbol in symbols)
    )
    for key, symbols in (("a", "X"), ("b", "YZ"), ("c", "V"))
)


@pytest.mark.parametrize(
    ("sessions", "keys", "left"),
    [(None, "abc", ""), (3, "abc", ""), (2, "ab", "V"), (1, "b", "XV")],
)
def test_plans_beyond_the_sessions_find_no_place(
    sessions: int | None, keys: str, left: str
) -> None:
    kept, unseated = seat_plans(PLANS, replace(LIMITS, sessions_per_account=sessions))
    assert [plan.key for plan in kept] == list(keys)
    assert [channel.symbol for channel in unseated] == list(left)
