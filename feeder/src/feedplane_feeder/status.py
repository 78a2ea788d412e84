"""FeederStatus, put together from what the parts of a feeder know. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from feedplane_api.worker import (
    ChannelProblem,
    ChannelState,
    Coverage,
    ElectionReport,
    FeederStatus,
    GapCount,
    SessionState,
    SinkReport,
    WorkerConfig,
    config_hash,
)
from feedplane_feeder.core.coverage import Covered
from feedplane_feeder.core.health import HealthObservation, check_health
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
    connections: int
    channels: tuple[tuple[Channel, Covered], ...]
    last_recv_ns: dict[str, int]
    """Per symbol; 0 where nothing has come."""
    gaps: tuple[GapCount, ...]
    events_per_second: int
    frames: int
    malformed: int
    lag_milliseconds: int | None
    event_loop_lag_seconds: float
    reconnects: int
    rotations: int
    request_weight_used: int
    banned_until_ns: int
    last_error: str
    election: ElectionReport
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
    retired = sum(covered.state is ChannelState.RETIRED for _, covered in view.channels)
    health = check_health(
        HealthObservation(
            started_ns=view.started_ns,
            session=view.session,
            # What the venue does not trade says nothing about the account.
            wanted=coverage.wanted - retired - coverage.refused,
            live=coverage.live,
            stale=coverage.stale,
            pending=coverage.wanted - coverage.live - coverage.stale - coverage.refused - retired,
            minimum_coverage_percent=view.config.session.minimum_coverage_percent,
            banned_until_ns=view.banned_until_ns,
            frames=view.frames,
            malformed=view.malformed,
            last_error=view.last_error,
        ),
        view.now_ns,
    )
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
        health=health,
        ready=health.healthy,
        coverage=coverage,
        problems=tuple(_problems(view.channels)),
        last_event_milliseconds={
            symbol: at // 1_000_000 for symbol, at in view.last_recv_ns.items() if at
        },
        gaps=view.gaps,
        events_per_second=view.events_per_second,
        lag_milliseconds=view.lag_milliseconds,
        event_loop_lag_milliseconds=int(view.event_loop_lag_seconds * 1_000),
        reconnects=view.reconnects,
        rotations=view.rotations,
        request_weight_used=view.request_weight_used,
        banned_until_time=moment(view.banned_until_ns) if banned else None,
        election=view.election,
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
