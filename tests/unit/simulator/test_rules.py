from dataclasses import replace

from feedplane_simulator.config import SPOT_RULES
from feedplane_simulator.rules import Due, KeepAlive, RateMeter, WeightMeter

RULES = replace(
    SPOT_RULES,
    ping_interval_seconds=20.0,
    pong_timeout_seconds=60.0,
    lifetime_seconds=1000.0,
    shutdown_notice_seconds=10.0,
    weight_per_minute=100,
    ban_seconds=120.0,
)
MINUTE = 1_700_000_040_000


def test_rate_meter_allows_its_limit_in_a_window() -> None:
    meter = RateMeter(limit=2, window_seconds=1.0)
    assert [meter.exceeded(at) for at in (0.0, 0.5, 0.9)] == [False, False, True]
    assert [meter.exceeded(at) for at in (2.0, 2.5, 3.1)] == [False, False, False]


def test_keep_alive_pings_by_its_interval() -> None:
    keep = KeepAlive(RULES, now=0.0)
    assert keep.due(19.9) == []
    assert keep.due(20.0) == [Due.PING]
    keep.pinged(b"1", 20.0)
    assert keep.due(39.9) == []
    assert keep.due(40.0) == [Due.PING]


def test_keep_alive_ends_only_unanswered_connections() -> None:
    keep = KeepAlive(RULES, now=0.0)
    keep.pinged(b"1", 20.0)
    assert keep.ponged(b"other") is False
    assert keep.due(80.0) == [Due.NO_PONG]
    assert keep.ponged(b"1") is True
    assert keep.due(80.0) == [Due.PING]


def test_pong_settles_earlier_pings_too() -> None:
    keep = KeepAlive(RULES, now=0.0)
    keep.pinged(b"1", 20.0)
    keep.pinged(b"2", 40.0)
    keep.ponged(b"2")
    assert keep.due(90.0) == [Due.PING]


def test_life_ends_after_one_notice() -> None:
    keep = KeepAlive(replace(RULES, ping_interval_seconds=5000.0), now=0.0)
    assert keep.due(990.0) == [Due.SHUTDOWN_NOTICE]
    assert keep.due(991.0) == []
    assert keep.due(1000.0) == [Due.LIFETIME]


def test_rotation_sets_an_earlier_end() -> None:
    keep = KeepAlive(RULES, now=0.0)
    keep.end_at(5.0)
    assert keep.due(4.9) == []
    assert keep.due(5.0) == [Due.LIFETIME]


def test_weight_within_the_minute_is_served() -> None:
    meter = WeightMeter(RULES)
    assert [meter.spend(40, MINUTE + n).used for n in range(2)] == [40, 80]
    assert meter.spend(40, MINUTE + 60_000).used == 40


def test_weight_over_the_limit_waits_for_the_minute() -> None:
    meter = WeightMeter(RULES)
    minute = MINUTE // 60_000 * 60_000
    verdict = meter.spend(101, minute + 15_000)
    assert (verdict.status, verdict.retry_after_seconds, verdict.impatient) == (429, 45, 0)
    early = meter.spend(1, minute + 16_000)
    assert (early.status, early.impatient) == (429, 429)
    assert meter.spend(1, minute + 60_000).status == 200


def test_ignoring_the_limit_ends_in_a_growing_ban() -> None:
    meter = WeightMeter(RULES)
    minute = MINUTE // 60_000 * 60_000
    statuses = [meter.spend(101, minute).status for _ in range(8)]
    assert statuses == [429] * 5 + [418] * 3
    banned = meter.spend(1, minute + 60_000)
    assert (banned.status, banned.retry_after_seconds, banned.impatient) == (418, 60, 418)
    assert meter.spend(1, minute + 120_000).status == 200
    again = [meter.spend(101, minute + 120_000) for _ in range(6)][-1]
    assert (again.status, again.retry_after_seconds) == (418, 240)
