"""Judge: looks at this feeder's own account twice a second, and at once when the venue says no.

Gathers what the parts know, lets the core find and weigh, and tells the election. Must not know
who publishes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from feedplane_api.worker import (
    ChannelState,
    FailoverPolicy,
    HealthReport,
    SessionConfig,
    SessionState,
    WorkerConfig,
)
from feedplane_feeder.core.coverage import Coverage
from feedplane_feeder.core.health import STARTING_NS, HealthObservation, check_health
from feedplane_feeder.core.ports import Clock, Election
from feedplane_feeder.core.session import worst_state
from feedplane_feeder.core.standing import Side, Standing
from feedplane_feeder.core.verdict import Verdict
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.meters import Meters
from feedplane_feeder.status import count_coverage
from feedplane_feeder.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The parts of a feeder that a verdict is made from, and who hears it."""

    coverage: Coverage
    supervisors: Mapping[str, Supervisor]
    standing: Standing
    meters: Meters
    election: Election
    clock: Clock
    loop_lag_seconds: Callable[[], float]
    log: FieldLog


class Judge:
    """The verdict of one feeder on its own account."""

    def __init__(self, config: WorkerConfig, scene: Scene) -> None:
        self.resting = False
        self.renewing = False
        """New credentials wait until another account has taken over."""
        self.market_open = True
        self.scene = scene
        self._session: SessionConfig = config.session
        self._policy: FailoverPolicy = config.policy
        self._verdict = Verdict()
        scene.coverage.sessions.adopt(config.session.hours)
        self._started_ns = scene.clock.now_ns()
        scene.standing.on_refusal = self.hear_refusal

    @property
    def report(self) -> HealthReport:
        """The verdict as it stands."""
        return self._verdict.report

    @property
    def session(self) -> SessionState:
        """The worst state of the connections."""
        now_ns = self.scene.clock.now_ns()
        return worst_state(each.state(now_ns) for each in self.scene.supervisors.values())

    def adopt(self, config: WorkerConfig) -> None:
        """Take over other thresholds."""
        self._session, self._policy = config.session, config.policy
        self.scene.coverage.sessions.adopt(config.session.hours)

    def rest(self, *, resting: bool) -> None:
        """Tell that nothing is subscribed on purpose, or that subscribing begins now."""
        if self.resting and not resting:
            self._started_ns = self.scene.clock.now_ns()
        self.resting = resting

    def look(self) -> HealthReport:
        """Make one check; called twice a second."""
        now_ns = self.scene.clock.now_ns()
        is_open = self.scene.coverage.is_market_open(now_ns)
        if is_open and not self.market_open:
            self._started_ns = now_ns  # a venue that is shut outside the hours comes back now
        self.market_open = is_open
        return self._weigh(check_health(self.observe(now_ns), now_ns), now_ns)

    def hear_refusal(self) -> None:
        """Judge now: what no waiting cures is not left to the clock."""
        now_ns = self.scene.clock.now_ns()
        found = check_health(self.observe(now_ns), now_ns)
        if found.definitive:
            self._weigh(found, now_ns)

    def observe(self, now_ns: int) -> HealthObservation:
        """Gather what the parts know now."""
        scene = self.scene
        coverage = count_coverage(scene.coverage.items())
        states = [covered.state for _, covered in scene.coverage.items()]
        pending = states.count(ChannelState.PENDING)
        _, frames, malformed = scene.meters.window()
        standing = scene.standing
        return HealthObservation(
            started_ns=self._started_ns,
            session=self.session,
            # What the venue does not trade says nothing about the account.
            wanted=coverage.live + coverage.stale + pending,
            live=coverage.live,
            stale=coverage.stale,
            pending=pending,
            # While it starts an account has to earn its first word.
            new=scene.coverage.count_new(now_ns) if self._has_started(now_ns) else 0,
            silent=self._count_silent(now_ns),
            minimum_coverage_percent=self._session.minimum_coverage_percent,
            refused=standing.refusal(Side.STREAM),
            refused_rest=standing.refusal(Side.REST),
            banned_until_ns=max(standing.banned_until_ns(side) for side in Side),
            resting=self.resting,
            renewing=self.renewing,
            unreachable=standing.silence(Side.REST),
            market_open=self.market_open,
            loop_lag_seconds=scene.loop_lag_seconds(),
            frames=frames,
            malformed=malformed,
            last_error=next((s.last_error for s in scene.supervisors.values() if s.last_error), ""),
        )

    def _has_started(self, now_ns: int) -> bool:
        return now_ns - self._started_ns >= STARTING_NS

    def _count_silent(self, now_ns: int) -> int:
        silent = [each for each in self.scene.supervisors.values() if each.is_silent(now_ns)]
        if not silent:
            return 0
        live = {channel for channel, known in self.scene.coverage.items() if known.state is None}
        return sum(len(live.intersection(supervisor.plan.channels)) for supervisor in silent)

    def _weigh(self, found: HealthReport, now_ns: int) -> HealthReport:
        before = self._verdict.report
        report = self._verdict.weigh(found, self._policy, now_ns)
        if report.healthy and not self.resting:
            self._started_ns = -STARTING_NS  # it has started: what comes now is a failure
        self.scene.meters.set_health(report)
        if (report.healthy, report.reason) != (before.healthy, before.reason):
            self.scene.log.info(
                Event.HEALTH_CHANGED,
                healthy=report.healthy,
                reason=report.reason,
                detail=report.message,
            )
        self.scene.election.judge(report)
        return report
