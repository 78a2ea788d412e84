from datetime import UTC, datetime, timedelta
from itertools import pairwise

from feedplane_api.market_hours import MarketHours, TradingHours
from feedplane_api.worker import ChannelState
from feedplane_feeder.core.coverage import (
    NEW_NS,
    RESUBSCRIBE_CAP_NS,
    Coverage,
    Covered,
    Reason,
)
from feedplane_feeder.core.ports import Channel

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000
LIMIT = 5 * SECOND
TRADE = Channel("BTCUSDT", "trade")
QUOTE = Channel("BTCUSDT", "quote")


def covered(coverage: Coverage, channel: Channel = TRADE) -> Covered:
    return dict(coverage.items())[channel]


def streaming(channels: tuple[Channel, ...] = (TRADE,)) -> Coverage:
    coverage = Coverage()
    coverage.want(channels, 0)
    for channel in channels:
        coverage.requested(channel, 0)
        coverage.acknowledged(channel, 0)
    for sweep in range(1, 21):
        for channel in channels:
            coverage.delivered(channel, 10, sweep * SECOND // 2)
        coverage.sweep(sweep * SECOND // 2, LIMIT)
    return coverage


def test_channel_on_its_way_to_live_names_what_it_waits_for() -> None:
    coverage = Coverage()
    coverage.want([TRADE], 1)
    reasons = [covered(coverage).reason]
    coverage.requested(TRADE, 2)
    reasons.append(covered(coverage).reason)
    coverage.acknowledged(TRADE, 3)
    reasons.append(covered(coverage).reason)
    assert reasons == [
        Reason.AWAITING_CONNECTION,
        Reason.AWAITING_ACKNOWLEDGEMENT,
        Reason.AWAITING_FIRST_FRAME,
    ]
    assert covered(coverage).since_ns == 3
    assert covered(coverage).state is ChannelState.PENDING
    coverage.delivered(TRADE, 1, 4)
    assert covered(coverage).state is None


def test_channel_acknowledged_and_silent_is_named_and_asked_for_alone() -> None:
    coverage = streaming((QUOTE,))
    coverage.want([QUOTE, TRADE], 10 * SECOND)
    coverage.requested(TRADE, 10 * SECOND)
    coverage.acknowledged(TRADE, 10 * SECOND)
    for second in range(11, 15):
        coverage.delivered(QUOTE, 10, second * SECOND)
        assert coverage.sweep(second * SECOND, LIMIT).stale == []
    coverage.delivered(QUOTE, 10, 15 * SECOND)
    sweep = coverage.sweep(15 * SECOND, LIMIT)
    assert sweep.stale == sweep.resubscribe == [TRADE]
    assert covered(coverage).reason == Reason.NEVER_DELIVERED
    assert covered(coverage, QUOTE).state is None


def test_channel_that_falls_silent_is_mute_and_recovers() -> None:
    coverage = streaming()
    sweep = coverage.sweep(15 * SECOND, LIMIT)
    assert sweep.stale == [TRADE]
    assert covered(coverage).reason == Reason.MUTE
    assert covered(coverage).state is ChannelState.STALE
    coverage.delivered(TRADE, 1, 16 * SECOND)
    assert coverage.sweep(16 * SECOND, LIMIT).recovered == [TRADE]
    assert coverage.sweep(17 * SECOND, LIMIT).recovered == []
    assert covered(coverage).state is None


def test_mute_channel_is_asked_for_at_growing_intervals() -> None:
    coverage = streaming()
    asked = [
        second for second in range(15, 3_000) if coverage.sweep(second * SECOND, LIMIT).resubscribe
    ]
    steps = [later - sooner for sooner, later in pairwise(asked)]
    assert steps[:6] == [5, 10, 20, 40, 80, 160]
    assert set(steps[6:]) == {RESUBSCRIBE_CAP_NS // SECOND}


def test_silence_cured_by_asking_again_is_not_learned() -> None:
    coverage = streaming()
    coverage.sweep(60 * SECOND, LIMIT)
    coverage.delivered(TRADE, 1, 61 * SECOND)
    assert covered(coverage).pulse.limit_ns(LIMIT) == LIMIT


def test_silence_that_ends_by_itself_is_learned() -> None:
    coverage = streaming()
    coverage.sweep(60 * SECOND, LIMIT)
    coverage.delivered(TRADE, 1, 64 * SECOND)
    assert covered(coverage).pulse.limit_ns(LIMIT) > 50 * SECOND


def test_disconnected_channel_waits_and_is_not_judged() -> None:
    coverage = streaming()
    coverage.disconnected(TRADE, 11 * SECOND)
    assert covered(coverage).reason == Reason.AWAITING_CONNECTION
    assert coverage.sweep(100 * SECOND, LIMIT).stale == []
    coverage.requested(TRADE, 100 * SECOND)
    coverage.acknowledged(TRADE, 100 * SECOND)
    assert coverage.sweep(104 * SECOND, LIMIT).stale == []
    coverage.delivered(TRADE, 1, 104 * SECOND)
    assert covered(coverage).state is None


def test_excluded_channel_stays_out_until_it_is_included() -> None:
    coverage = streaming()
    assert coverage.exclude(TRADE, ChannelState.RETIRED, Reason.NOT_TRADING, 1)
    assert not coverage.exclude(TRADE, ChannelState.RETIRED, Reason.NOT_TRADING, 2)
    assert coverage.is_excluded(TRADE)
    coverage.delivered(TRADE, 1, 3)
    coverage.disconnected(TRADE, 3)
    coverage.requested(TRADE, 3)
    assert coverage.sweep(99 * SECOND, LIMIT).stale == []
    assert coverage.state(TRADE) is ChannelState.RETIRED
    coverage.include(TRADE, 4)
    assert coverage.state(TRADE) is ChannelState.PENDING
    coverage.include(TRADE, 5)
    assert covered(coverage).since_ns == 4


def test_channel_is_new_until_it_delivers_or_its_time_is_over() -> None:
    coverage = Coverage()
    coverage.want([TRADE], 5)
    assert [coverage.count_new(at) for at in (5, 4 + NEW_NS, 5 + NEW_NS)] == [1, 1, 0]
    coverage.requested(TRADE, 6)
    coverage.acknowledged(TRADE, 7)
    assert coverage.count_new(8) == 1
    coverage.delivered(TRADE, 1, 9)
    assert coverage.count_new(9) == 0
    coverage.disconnected(TRADE, 10)
    assert coverage.count_new(10) == 0
    coverage.exclude(TRADE, ChannelState.RETIRED, Reason.NOT_TRADING, 11)
    coverage.include(TRADE, NEW_NS)
    assert [coverage.count_new(at) for at in (NEW_NS, 2 * NEW_NS)] == [1, 0]


def test_acknowledgement_of_a_mute_channel_leaves_it_named() -> None:
    coverage = streaming()
    coverage.disconnected(TRADE, 11 * SECOND)
    covered(coverage).state = ChannelState.STALE
    coverage.acknowledged(TRADE, 12 * SECOND)
    assert covered(coverage).state is ChannelState.STALE


def test_unwanted_channel_is_passed_over() -> None:
    coverage = streaming()
    coverage.want([], 1)
    coverage.requested(TRADE, 2)
    coverage.acknowledged(TRADE, 2)
    coverage.delivered(TRADE, 1, 2)
    coverage.disconnected(TRADE, 2)
    coverage.include(TRADE, 2)
    assert not coverage.exclude(TRADE, ChannelState.REFUSED, Reason.VENUE_REFUSED, 2)
    assert coverage.is_excluded(TRADE)
    assert list(coverage.items()) == []


def test_channel_without_new_frames_stays_as_it_is() -> None:
    coverage = Coverage()
    coverage.want([TRADE], 0)
    coverage.delivered(TRADE, 0, 1)
    assert covered(coverage).state is ChannelState.PENDING


def opened(coverage: Coverage, *spans: tuple[int, int]) -> None:
    # Minutes since the epoch, as the times of these tests are.
    openings = tuple(
        f"{EPOCH + timedelta(minutes=start):%Y-%m-%dT%H:%MZ}"
        f"/{EPOCH + timedelta(minutes=end):%Y-%m-%dT%H:%MZ}"
        for start, end in spans
    )
    coverage.sessions.adopt(
        MarketHours(
            since=EPOCH, until=EPOCH + timedelta(days=7), lines=(TradingHours(openings=openings),)
        )
    )


def test_nothing_is_mute_while_its_market_is_closed() -> None:
    coverage = streaming((TRADE, QUOTE))
    opened(coverage, (0, 1), (60, 120))
    for second in range(61, 3_600, 7):
        assert coverage.sweep(second * SECOND, LIMIT).stale == []
    # The silence begins with the open, and the hour before it is not learned.
    coverage.delivered(QUOTE, 1, 3_601 * SECOND)
    assert coverage.sweep(3_602 * SECOND, LIMIT).stale == []
    assert coverage.sweep(3_604 * SECOND, LIMIT).stale == []
    assert coverage.sweep(3_605 * SECOND, LIMIT).stale == [TRADE]
    assert coverage.sweep(3_606 * SECOND, LIMIT).stale == [QUOTE]


def test_channel_that_is_stale_rests_when_its_market_closes() -> None:
    coverage = streaming()
    opened(coverage, (0, 1), (60, 120))
    assert coverage.is_market_open(50 * SECOND)
    assert coverage.sweep(50 * SECOND, LIMIT).stale == [TRADE]
    assert covered(coverage).state is ChannelState.STALE
    assert coverage.sweep(60 * SECOND, LIMIT).resubscribe == []
    assert covered(coverage).state is None
    assert not coverage.is_market_open(60 * SECOND)


def test_channel_acknowledged_while_closed_is_live_until_it_is_missed() -> None:
    coverage = Coverage()
    opened(coverage, (60, 120))
    assert coverage.is_market_open(0)  # nothing is wanted
    coverage.want([TRADE], 0)
    coverage.requested(TRADE, 0)
    coverage.acknowledged(TRADE, 0)
    coverage.sweep(SECOND, LIMIT)
    assert covered(coverage).state is None
    assert coverage.sweep(3_604 * SECOND, LIMIT).stale == []
    assert coverage.sweep(3_605 * SECOND, LIMIT).stale == [TRADE]
    assert covered(coverage).reason == Reason.NEVER_DELIVERED


def test_frames_outside_the_hours_teach_nothing() -> None:
    coverage = streaming()
    opened(coverage, (0, 1), (60, 120))
    coverage.delivered(TRADE, 1, 3_000 * SECOND)
    coverage.delivered(TRADE, 1, 3_601 * SECOND)
    assert coverage.sweep(3_605 * SECOND, LIMIT).stale == []
    assert coverage.sweep(3_606 * SECOND, LIMIT).stale == [TRADE]
