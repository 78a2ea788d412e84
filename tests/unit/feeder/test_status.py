from dataclasses import replace

from feedplane_api.worker import (
    AccountIdentity,
    BufferReport,
    ChannelState,
    ElectionReport,
    FileSinkConfig,
    HealthReport,
    RepairReport,
    SessionState,
    WorkerConfig,
    config_hash,
)
from feedplane_feeder.core.coverage import Covered
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.pulse import Pulse
from feedplane_feeder.status import SECOND_NS, View, build_status, moment

NOW = 1_800_000_000 * SECOND_NS
LIVE = Covered(Pulse(0), None, "", NOW)


def named(state: ChannelState, reason: str) -> Covered:
    return Covered(Pulse(0), state, reason, NOW - SECOND_NS)


VIEW = View(
    config=WorkerConfig(
        venue="some-venue",
        account=AccountIdentity(name="line-a"),
        sinks=(FileSinkConfig(path="-"),),
    ),
    pod="pod-0",
    version="1.0",
    now_ns=NOW,
    started_ns=NOW - 60 * SECOND_NS,
    session=SessionState.STREAMING,
    health=HealthReport(healthy=True, reason="Healthy"),
    connections=1,
    channels=((Channel("BTCUSDT", "trade"), LIVE), (Channel("ETHUSDT", "trade"), LIVE)),
    last_recv_ns={"BTCUSDT": NOW, "ETHUSDT": 0},
    repair=RepairReport(),
    large_gaps=(),
    missing_days=(),
    gaps=(),
    events_per_second=7,
    lag_milliseconds=3,
    event_loop_lag_seconds=0.0125,
    reconnects=1,
    rotations=2,
    request_weight_used=40,
    banned_until_ns=0,
    election=ElectionReport(active=True),
    buffer=BufferReport(records=7, seconds=3),
    sinks=(),
)


def test_status_of_a_feeder_that_streams_names_no_problem() -> None:
    status = build_status(VIEW)
    assert (status.ready, status.health.reason, status.problems) == (True, "Healthy", ())
    assert (status.coverage.wanted, status.coverage.live) == (2, 2)
    assert (status.account, status.pod, status.version) == ("line-a", "pod-0", "1.0")
    assert status.last_event_milliseconds == {"BTCUSDT": NOW // 1_000_000}
    assert status.event_loop_lag_milliseconds == 12
    assert status.config_hash == config_hash(VIEW.config)
    assert status.banned_until_time is None
    assert status.time == moment(NOW)


def test_status_names_each_channel_that_is_not_live() -> None:
    channels = (
        (Channel("ETHUSDT", "trade"), named(ChannelState.STALE, "Mute")),
        (Channel("BTCUSDT", "trade"), named(ChannelState.REFUSED, "VenueRefused")),
        (Channel("BTCUSDT", "quote"), LIVE),
    )
    status = build_status(replace(VIEW, channels=channels))
    assert [(p.symbol, p.channel, p.state, p.reason) for p in status.problems] == [
        ("BTCUSDT", "trade", ChannelState.REFUSED, "VenueRefused"),
        ("ETHUSDT", "trade", ChannelState.STALE, "Mute"),
    ]
    assert status.problems[0].since_time == moment(NOW - SECOND_NS)
    coverage = status.coverage
    assert (coverage.live, coverage.stale, coverage.refused) == (1, 1, 1)


def test_status_is_ready_by_the_verdict_alone() -> None:
    banned = HealthReport(healthy=False, reason="AccountBanned", definitive=True)
    status = build_status(replace(VIEW, health=banned))
    assert (status.ready, status.health) == (False, banned)


def test_status_during_a_ban_says_until_when() -> None:
    status = build_status(replace(VIEW, banned_until_ns=NOW + SECOND_NS))
    assert status.banned_until_time == moment(NOW + SECOND_NS)
