"""FeederStatus, put together from what the parts of a feeder know. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from feedplane_api.worker import (
    BufferReport,
    ChannelProblem,
    ChannelState,
    Coverage,
    ElectionReport,
    FeederStatus,
    GapCount,
    HealthReport,
    LargeGap,
    MissingDays,
    RepairReport,
    SessionState,
    SinkReport,
    WorkerConfig,
    config_hash,
)
from feedplane_feeder.core.coverage import Covered
from feedplane_feeder.core.ports import Channel

SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the parts of a feeder know at one moment."""

    config: WorkerConfig
    pod: str
    version: str
    now_ns: int
    started_ns: int
    session: SessionState
    health: HealthReport
    connections: int
    channels: tuple[tuple[Channel, Covered], ...]
    last_recv_ns: dict[str, int]
    """Per symbol; 0 where nothing has come."""
    gaps: tuple[GapCount, ...]
    repair: RepairReport
    large_gaps: tuple[LargeGap, ...]
    missing_days: tuple[MissingDays, ...]
    events_per_second: int
    lag_milliseconds: int | None
    event_loop_lag_seconds: float
    reconnects: int
    rotations: int
    request_weight_used: int
    banned_until_ns: int
    election: ElectionReport
    buffer: BufferReport
    sinks: tuple[SinkReport, ...]


def count_coverage(channels: Iterable[tuple[Channel, Covered]]) -> Coverage:
    """Return the wanted channels by state."""
    states = [covered.state for _, covered in channels]
    return Coverage(
        wanted=len(states),
        live=states.count(None),
        stale=states.count(ChannelState.STALE),
        refused=states.count(ChannelState.REFUSED),
    )


def build_status(view: View) -> FeederStatus:
    """Return the answer to `/status`."""
    coverage = count_coverage(view.channels)
    banned = view.banned_until_ns > view.now_ns
    return FeederStatus(
        feed_source=view.config.feed_source,
        venue=view.config.venue,
        account=view.config.account.name,
        shard=view.config.shard,
        pod=view.pod,
        version=view.version,
        start_time=moment(view.started_ns),
        time=moment(view.now_ns),
        config_hash=config_hash(view.config),
        session=view.session,
        connections=view.connections,
        health=view.health,
        ready=view.health.healthy,
        coverage=coverage,
        problems=tuple(_problems(view.channels)),
        last_event_milliseconds={
            symbol: at // 1_000_000 for symbol, at in view.last_recv_ns.items() if at
        },
        gaps=view.gaps,
        repair=view.repair,
        large_gaps=view.large_gaps,
        missing_days=view.missing_days,
        events_per_second=view.events_per_second,
        lag_milliseconds=view.lag_milliseconds,
        event_loop_lag_milliseconds=int(view.event_loop_lag_seconds * 1_000),
        reconnects=view.reconnects,
        rotations=view.rotations,
        request_weight_used=view.request_weight_used,
        banned_until_time=moment(view.banned_until_ns) if banned else None,
        election=view.election,
        buffer=view.buffer,
        sinks=view.sinks,
    )


def moment(now_ns: int) -> datetime:
    """Return a UTC time."""
    return datetime.fromtimestamp(now_ns / SECOND_NS, UTC)


def _problems(channels: Iterable[tuple[Channel, Covered]]) -> Iterable[ChannelProblem]:
    for channel, covered in sorted(channels, key=lambda item: item[0]):
        if covered.state is not None:
            yield ChannelProblem(
                symbol=channel.symbol,
                channel=channel.name,
                state=covered.state,
                reason=covered.reason,
                since_time=moment(covered.since_ns),
            )
