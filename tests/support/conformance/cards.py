"""The cards: what every adapter does with its venue, whatever the venue speaks.

Each plays a whole feeder against the simulated venue. A card is asked of the adapters whose
declaration says that their venue has what it is about; a fixture may except one, with the reason.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from conformance.fixture import VenueUnderTest
from conformance.stage import KEY, Feeder, Stage, staged
from conformance.truth import facts_of, find_doubled, find_lost
from feedplane_api.worker import ChannelProblem, ChannelState, SessionState
from feedplane_feeder.records import GapCause, Trade
from feedplane_simulator.config import Market
from feedplane_simulator.faults import FaultKind
from feedplane_simulator.instruments import build_instruments

Play = Callable[[VenueUnderTest], Coroutine[Any, Any, None]]
MANY: Final = 30
TRADE: Final = "trade"


@dataclass(frozen=True)
class Card:
    """One thing an adapter is held to."""

    name: str
    play: Play
    asked_of: Callable[[VenueUnderTest], bool]

    def asks(self, venue: VenueUnderTest) -> bool:
        return self.asked_of(venue) and self.name not in venue.cannot


CARDS: Final[list[Card]] = []


def _always(_venue: VenueUnderTest) -> bool:
    return True


def _standing(venue: VenueUnderTest) -> bool:
    return not venue.polled


def _trades(venue: VenueUnderTest) -> bool:
    return not venue.polled and TRADE in venue.channels


def card(asked_of: Callable[[VenueUnderTest], bool] = _always) -> Callable[[Play], Play]:
    """Add a function to the cards, under its name."""

    def add(play: Play) -> Play:
        CARDS.append(Card(play.__name__.replace("_", "-"), play, asked_of))
        return play

    return add


@card()
async def streams_value_for_value(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage, stage.feeder() as feeder:
        await feeder.until(feeder.all_live)
        for channel in venue.channels:
            if not channel.startswith("bar-"):
                await feeder.more(5, channel, venue.symbols[0])
        await feeder.until(lambda: feeder.live.status().ready)
        await stage.quiet()
        _check_values(stage, feeder)
        _check_calm(stage, feeder)


@card(lambda venue: venue.logs_in)
async def refused_credentials_are_told(venue: VenueUnderTest) -> None:
    async with (
        staged(venue, valid_keys=(KEY,)) as stage,
        stage.feeder(key="wrong-key") as bad,
        stage.feeder(account="line-b") as good,
    ):
        await good.until(good.all_live)
        await bad.until(lambda: bad.live.status().health.reason == "CredentialsRefused")
        assert bad.writer.records == []
        assert not bad.live.status().ready
        text = bad.live.status().model_dump_json()
        assert "wrong-key" not in text


@card()
async def many_channels_stay_within_limits(venue: VenueUnderTest) -> None:
    async with staged(venue, symbols=MANY, rate=300) as stage:
        symbols = _listed(stage, MANY)
        async with stage.feeder(channels=venue.channels[:2], symbols=symbols) as feeder:
            await feeder.until(lambda: _acknowledged(feeder))
            assert feeder.live.status().coverage.wanted == len(symbols) * len(venue.channels[:2])
        assert stage.violations() == []


@card(lambda venue: venue.unknown is not None)
async def unknown_instrument_is_named(venue: VenueUnderTest) -> None:
    known, unknown = venue.symbols[0], venue.unknown or ""
    async with (
        staged(venue) as stage,
        stage.feeder(symbols=[known, unknown], channels=venue.channels[:1], alert=True) as feeder,
    ):
        await feeder.until(lambda: feeder.live.status().coverage.live == 1)
        await feeder.until(lambda: unknown in {each.symbol for each in _settled(feeder)})
        (problem,) = _settled(feeder)
        assert problem.state in {ChannelState.RETIRED, ChannelState.REFUSED, ChannelState.STALE}


@card(_standing)
async def mute_stream_is_named_alone(venue: VenueUnderTest) -> None:
    only = venue.channels[:1]
    async with staged(venue) as stage, stage.feeder(channels=only, alert=True) as feeder:
        await feeder.until(feeder.all_live)
        await feeder.more(10, *stage.first)
        await stage.inject(FaultKind.MUTE, streams=stage.stream(*stage.first))
        await feeder.until(
            lambda: (
                [(p.symbol, p.state) for p in feeder.problems()]
                == [(venue.symbols[0], ChannelState.STALE)]
            )
        )
        stage.simulator.clear()
        await feeder.until(feeder.all_live)
        await feeder.more(3, *stage.first)


@card(_standing)
async def mute_socket_is_replaced(venue: VenueUnderTest) -> None:
    await _silence(venue, FaultKind.MUTE)


@card(_standing)
async def lost_heartbeat_is_noticed(venue: VenueUnderTest) -> None:
    await _silence(venue, FaultKind.STALL)


@card()
async def cut_connection_is_taken_up_again(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage, stage.feeder() as feeder:
        await feeder.until(feeder.all_live)
        await feeder.more(5, *stage.first)
        await stage.inject(FaultKind.DROP)
        await feeder.until(lambda: feeder.reconnects > 0 or venue.polled)
        await feeder.until(feeder.all_live)
        await feeder.more(5, *stage.first)
        await stage.quiet()
        await asyncio.sleep(2.5)  # a hole is named once the grace period is over
        _check_whole(stage, feeder)
        assert stage.violations() == []


@card(_standing)
async def announced_end_costs_nothing_unnamed(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage, stage.feeder() as feeder:
        await feeder.until(feeder.all_live)
        await feeder.more(5, *stage.first)
        await stage.inject(FaultKind.ROTATE, notice_seconds=8.0)
        await feeder.until(lambda: feeder.reconnects > 0)
        await feeder.until(feeder.all_live)
        await feeder.more(5, *stage.first)
        await stage.quiet()
        await asyncio.sleep(2.5)
        _check_whole(stage, feeder)
        assert stage.violations() == []


@card(lambda venue: _trades(venue) and venue.numbers_trades)
async def gap_is_named_by_its_ids(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage, stage.feeder(channels=[TRADE]) as feeder:
        await feeder.until(feeder.all_live)
        stream = stage.stream(*stage.trade)
        await stage.inject(FaultKind.SKIP, streams=stream, probability=0.3, count=3)
        await feeder.more(40, *stage.trade)
        await stage.quiet()
        await feeder.until(lambda: len(feeder.gaps(*stage.trade)) > 0)
        await asyncio.sleep(2.5)
        gaps = feeder.gaps(*stage.trade)
        assert sum((g.to_id or 0) - (g.from_id or 0) + 1 for g in gaps) == 3
        assert {gap.cause for gap in gaps} == {GapCause.SEQUENCE.value}
        _check_whole(stage, feeder)


@card(_standing)
async def duplicates_are_taken_once(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage, stage.feeder() as feeder:
        await feeder.until(feeder.all_live)
        await stage.inject(FaultKind.DUPLICATE, probability=0.5)
        await feeder.more(20, *stage.first)
        await stage.quiet()
        _check_values(stage, feeder)
        assert feeder.writer.gaps == []


@card(_trades)
async def out_of_order_frames_lose_nothing(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage, stage.feeder(channels=[TRADE]) as feeder:
        await feeder.until(feeder.all_live)
        await stage.inject(FaultKind.REORDER, probability=0.2)
        await feeder.more(30, *stage.trade)
        stage.simulator.clear()
        await feeder.more(5, *stage.trade)
        await stage.quiet()
        _check_whole(stage, feeder)
        assert feeder.writer.gaps == []
        if venue.numbers_trades:
            ids = [r.trade_id for r in feeder.records(*stage.trade) if isinstance(r, Trade)]
            assert ids == sorted(ids)


@card(_standing)
async def malformed_frame_is_set_aside(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage, stage.feeder() as feeder:
        await feeder.until(feeder.all_live)
        await feeder.more(5, *stage.first)
        await stage.inject(FaultKind.CORRUPT, count=3)
        await feeder.until(lambda: len(feeder.writer.quarantined) >= 3)
        await feeder.more(10, *stage.first)
        await stage.quiet()
        await asyncio.sleep(2.5)
        assert {row.venue for row in feeder.writer.quarantined} == {venue.name}
        _check_whole(stage, feeder)


@card(_standing)
async def second_login_is_turned_away(venue: VenueUnderTest) -> None:
    # Everything on one connection, where the venue serves one kind of channel on each.
    own = venue.channels[:1]
    async with staged(venue, sessions_per_account=1) as stage, stage.feeder(channels=own) as first:
        await first.until(first.all_live)
        async with stage.feeder(channels=own) as second:
            await second.until(lambda: bool(stage.violations()))
            await first.more(5, *stage.first)
            assert second.writer.records == []
            assert second.live.status().session is not SessionState.STREAMING
        assert first.reconnects == 0
        assert {each["rule"] for each in stage.violations()} == {"double-login"}


@card()
async def stopped_feeder_leaves_nothing_open(venue: VenueUnderTest) -> None:
    async with staged(venue) as stage:
        async with stage.feeder() as feeder:
            await feeder.until(feeder.all_live)
        await feeder.until(lambda: stage.simulator.connections() == [])
        assert stage.violations() == []


async def _silence(venue: VenueUnderTest, kind: FaultKind) -> None:
    only = venue.channels[:1]
    async with staged(venue) as stage, stage.feeder(channels=only, alert=True) as feeder:
        await feeder.until(feeder.all_live)
        await feeder.more(10, *stage.first)
        before = stage.connections()
        await stage.inject(kind)
        await feeder.until(lambda: not feeder.live.status().health.healthy)
        await feeder.until(lambda: stage.connections() != before)
        stage.simulator.clear()
        await feeder.until(lambda: feeder.reconnects > 0)
        await feeder.until(feeder.all_live)
        await feeder.more(3, *stage.first)
        await stage.quiet()
        await asyncio.sleep(2.5)
        _check_whole(stage, feeder)


def _listed(stage: Stage, count: int) -> list[str]:
    told = stage.venue.told.get("manySymbols")
    if told is not None:
        return [told.format(number) for number in range(count)]
    market = Market(stage.venue.market)
    return [instrument.symbol for instrument in build_instruments(market, count)]


def _acknowledged(feeder: Feeder) -> bool:
    waiting = {"AwaitingConnection", "AwaitingAcknowledgement"}
    status = feeder.live.status()
    asked = status.coverage.wanted > 0 and status.session is SessionState.STREAMING
    return asked and not any(each.reason in waiting for each in status.problems)


def _settled(feeder: Feeder) -> list[ChannelProblem]:
    return [each for each in feeder.problems() if each.state is not ChannelState.PENDING]


def _check_values(stage: Stage, feeder: Feeder) -> None:
    for channel in stage.venue.channels:
        for symbol in stage.venue.symbols:
            records = feeder.records(channel, symbol)
            told = [each.facts for each in stage.emitted(channel, symbol)]
            if not records:
                continue
            got = [facts_of(record, told[0].keys()) for record in records]
            # A polled venue is seen now and then, and bars only when they say something new.
            if stage.venue.polled or channel.startswith("bar-"):
                _check_order(got, told)
                continue
            start = told.index(got[0])
            assert got == told[start : start + len(got)], f"{channel} of {symbol}"


def _check_order(got: list[dict[str, object]], told: list[dict[str, object]]) -> None:
    at = 0
    for facts in got:
        assert facts in told[at:], f"{facts} was never emitted, or earlier"
        at = told.index(facts, at)


def _check_calm(stage: Stage, feeder: Feeder) -> None:
    assert (feeder.writer.gaps, feeder.writer.quarantined) == ([], [])
    assert stage.violations() == []


# Everything between the first and the last record is kept once, or named.
def _check_whole(stage: Stage, feeder: Feeder) -> None:
    if stage.venue.polled:
        return
    for channel in stage.venue.channels:
        if channel.startswith("bar-"):
            continue
        for symbol in stage.venue.symbols:
            records = feeder.records(channel, symbol)
            told = stage.emitted(channel, symbol)
            if records and told:
                lost = find_lost(told, records, feeder.gaps(channel, symbol))
                assert lost == [], f"{channel} of {symbol}: {feeder.gaps(channel, symbol)}"
                assert find_doubled(records, told[0].facts) == []
