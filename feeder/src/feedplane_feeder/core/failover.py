"""What one feeder knows of its publisher Lease, and how that changes with what it hears.

Ages are seconds of silence: time on one process's own clock between two readings that showed
the same, where a reading that failed counts for no more than two retry periods, and silence
begins anew after the API server was away. So no two machines' clocks are compared, and nobody is
taken for dead because nobody could be heard.
Must not know HTTP, Kubernetes objects or tasks, nor when to act: that is `core.decision`.
"""

from dataclasses import dataclass, field

from feedplane_api.worker import Failback, FailoverPolicy, HealthReport
from feedplane_feeder.core.health import HealthReason
from feedplane_feeder.core.lease import (
    Asks,
    Candidate,
    CandidateLine,
    LeaseReason,
    LeaseRecord,
)
from feedplane_feeder.core.roles import Demoted, Promoted

NEVER = float("-inf")
HURRY = 0.25
"""Share of the retry period after which a healthy standby looks again while the holder fails."""
STARTING = HealthReport(healthy=False, reason=HealthReason.STARTING)


@dataclass(slots=True)
class Heard:
    """A peer's line and how long it has been the same."""

    line: CandidateLine
    quiet_seconds: float = 0.0
    moved: bool = False
    """Whether it was seen to change: only then somebody is known to be there."""
    recovered: bool = False
    """Whether it turned healthy since a Lease that was offered was not taken."""


@dataclass(slots=True)
class LeaseState:
    """One feeder's knowledge; times are seconds on its own clock."""

    me: Candidate
    started_at: float
    policy: FailoverPolicy
    requested_at: float = NEVER
    """When `policy.active_account` was last set to another value."""
    health: HealthReport = STARTING
    healthy_since: float | None = None
    record: LeaseRecord | None = None
    reached_at: float = NEVER
    """When the API server last answered with the Lease."""
    beat_at: float = NEVER
    """When this process was last known to run."""
    silent_seconds: float = 0.0
    """How long nobody was seen to acquire, renew or release."""
    heard: dict[str, Heard] = field(default_factory=dict)
    unled_seconds: float = 0.0
    """How long no fresh, healthy peer in service was seen."""
    epoch: int = 0
    """The highest epoch ever seen; it goes on when the Lease is made anew."""
    active: bool = False
    yielding: bool = False
    """Active, and the Lease is given away: publishing goes on until another holder is seen."""
    prepared: bool = False
    """Whether the data path was told to prepare its handover."""
    claimed: bool = False
    """Whether this process ever asked for the Lease: a holder of its name is itself then."""
    asked_epoch: int = 0
    """The epoch under which the Lease was asked for, until an answer says what became of it."""
    given_epoch: int = 0
    """The epoch that was given away last."""
    leaving: bool = False
    reason: str | None = None
    """Why this feeder is active, or why it is no longer."""
    acquired_at: float = NEVER
    acquired_fit: bool = True
    """Whether it was healthy when it took the Lease; taken for want of better otherwise."""
    keep_until: float = NEVER
    """The Lease was offered and not taken, and is not offered again before this time."""
    line_count: int = 0
    announced: CandidateLine | None = None
    announced_at: float = NEVER
    changes: list[Promoted | Demoted] = field(default_factory=list)
    """Changes of role that were not passed on yet."""

    @property
    def holds(self) -> bool:
        """Whether the Lease, as last read, names this process."""
        return self.claimed and self.record is not None and self.record.holder == self.me.identity

    def failing(self) -> bool:
        """Tell whether the own account fails; one that starts is neither fit nor failing."""
        return not self.health.healthy and self.health.reason != HealthReason.STARTING

    def reached(self, now: float) -> bool:
        """Tell whether the API server answered within the renew deadline."""
        return now - self.reached_at <= self.me.renew_deadline_seconds

    def in_service(self, account: str) -> bool:
        """Tell whether an account may publish; with all of them taken out, all may."""
        policy = self.policy
        if account != self.me.account and account not in policy.accounts:
            return False
        return account not in policy.maintenance or self._nobody_in_service()

    def alone(self) -> bool:
        """Tell whether there is no other account that could publish."""
        return not any(
            account != self.me.account and self.in_service(account)
            for account in self.policy.accounts
        )

    def preference(self, account: str) -> int:
        """Return an account's place in the order of preference, 0 first."""
        accounts = self.policy.accounts
        return accounts.index(account) if account in accounts else len(accounts)

    def fresh(self, account: str) -> bool:
        """Tell whether an account was heard of lately."""
        heard = self.heard.get(account)
        return heard is not None and heard.moved and self._lately(heard)

    def fit(self, account: str) -> bool:
        """Tell whether a peer is known to be able to take over."""
        return self.fresh(account) and self.heard[account].line.healthy and self.in_service(account)

    def plausible(self, account: str) -> bool:
        """Tell whether a peer calls itself healthy, though it may have done so long ago."""
        heard = self.heard.get(account)
        return (
            heard is not None
            and heard.line.healthy
            and self._lately(heard)
            and self.in_service(account)
        )

    def _nobody_in_service(self) -> bool:
        policy = self.policy
        return all(account in policy.maintenance for account in (*policy.accounts, self.me.account))

    def _lately(self, heard: Heard) -> bool:
        return heard.quiet_seconds < self.me.lease_duration_seconds


def pause_seconds(state: LeaseState) -> float:
    """Return after how long to look at the Lease again: soon where it is about to be free."""
    retry = state.me.retry_period_seconds
    if state.active or not state.health.healthy or state.record is None:
        return retry
    heard = state.heard.get(state.record.account)
    failing = heard is not None and not heard.line.healthy and state.fresh(heard.line.account)
    return retry * HURRY if failing else retry


def judge(state: LeaseState, health: HealthReport, now: float) -> bool:
    """Take the verdict on the own account; whether it is news that should not wait."""
    before = state.health
    state.health = health
    if health.healthy:
        state.acquired_fit = True
        state.healthy_since = now if state.healthy_since is None else state.healthy_since
    else:
        state.healthy_since = None
    return before.healthy != health.healthy or (health.definitive and not before.definitive)


def adopt(state: LeaseState, policy: FailoverPolicy, now: float) -> None:
    """Take over another policy."""
    if policy.active_account != state.policy.active_account:
        state.requested_at = now
    state.policy = policy


def beat(state: LeaseState, now: float) -> bool:
    """Note that the process runs; whether it stood still for longer than the Lease lasts.

    A feeder that was frozen counts as not active until it has read the Lease again.
    """
    frozen = now - state.beat_at > state.me.lease_duration_seconds and state.beat_at != NEVER
    state.beat_at = now
    if frozen and state.active:
        state.started_at = now
        _demote(state, LeaseReason.FROZEN)
    return frozen


def observe(state: LeaseState, record: LeaseRecord, now: float) -> None:
    """Take in the Lease as it was just read."""
    _take_in(state, record, now)
    _follow(state, record)


def wrote(state: LeaseState, record: LeaseRecord, now: float) -> None:
    """Take in the Lease as this feeder itself just wrote it.

    That it could be written says that nobody else wrote since it was read.
    """
    _take_in(state, record, now)
    state.silent_seconds = 0.0


def took(state: LeaseState, reason: str, now: float) -> None:
    """Become active after this feeder wrote itself into the Lease as a new holder."""
    state.asked_epoch = 0
    state.acquired_at = now
    state.acquired_fit = state.health.healthy
    if reason == LeaseReason.NOT_TAKEN:
        pause = max(float(state.policy.cooldown_seconds), state.me.lease_duration_seconds)
        state.keep_until = now + pause
        for heard in state.heard.values():
            heard.recovered = False
    _promote(state, reason)


def gave(state: LeaseState, reason: str) -> None:
    """Go on publishing after the Lease was given away, until another holder is seen."""
    if state.active:
        state.yielding = True
        state.given_epoch = state.epoch
        state.reason = reason


def assume(state: LeaseState) -> None:
    """Publish without the Lease, which cannot be reached."""
    _promote(state, LeaseReason.API_UNREACHABLE)


def keep_role(state: LeaseState) -> None:
    """Go on in full after a handover that was prepared and did not come about."""
    if state.prepared and state.active and not state.yielding:
        _promote(state, LeaseReason.NOT_TAKEN)


def leave(state: LeaseState) -> None:
    """Ask for nothing any more, and hand over what is held."""
    state.leaving = True


def stop(state: LeaseState, reason: str) -> None:
    """Stop publishing at the end of the process, whoever took over."""
    if state.active:
        _demote(state, reason)


def build_line(state: LeaseState, now: float) -> CandidateLine:
    """Return the next line about the own account."""
    return CandidateLine(
        account=state.me.account,
        pod=state.me.pod,
        healthy=state.health.healthy and not state.leaving,
        reason=state.health.reason,
        n=state.line_count + 1,
        asks=_asks(state, now),
    )


def announced(state: LeaseState, line: CandidateLine, now: float) -> None:
    """Note that a line was written."""
    state.line_count = line.n
    state.announced = line
    state.announced_at = now


def announcement_due(state: LeaseState, now: float) -> bool:
    """Tell whether the own line is old, or no longer true."""
    if now - state.announced_at >= state.me.announce_seconds or state.announced is None:
        return True
    line, said = build_line(state, now), state.announced
    return (line.healthy, line.reason, line.asks) != (said.healthy, said.reason, said.asks)


def _asks(state: LeaseState, now: float) -> str | None:
    policy, me = state.policy, state.me.account
    if state.healthy_since is None or state.holds or not state.in_service(me):
        return None
    if policy.active_account is not None:
        return Asks.REQUESTED if policy.active_account == me else None
    held_for = now - state.healthy_since
    wants = policy.failback is Failback.AUTOMATIC and held_for >= policy.failback_after_seconds
    return Asks.FAILBACK if wants else None


def _take_in(state: LeaseState, record: LeaseRecord, now: float) -> None:
    before = state.record
    passed = 0.0
    if state.reached_at != NEVER:
        passed = min(now - state.reached_at, 2 * state.me.retry_period_seconds)
    # After the API server was away its holder has a whole Lease's time to renew again.
    same = before is not None and record.same_holding(before) and state.reached(now)
    state.silent_seconds = state.silent_seconds + passed if same else 0.0
    state.reached_at = now
    state.record = record
    state.epoch = max(state.epoch, record.transitions)
    _hear(state, record, passed, first=before is None)
    led = any(state.fit(account) for account in state.heard)
    state.unled_seconds = 0.0 if led else state.unled_seconds + passed


def _hear(state: LeaseState, record: LeaseRecord, passed: float, *, first: bool) -> None:
    heard = {}
    for line in record.candidates:
        if line.account == state.me.account:
            continue
        known = state.heard.get(line.account)
        if known is None:
            known = Heard(line, moved=not first)
        elif line != known.line:
            known.recovered = known.recovered or (line.healthy and not known.line.healthy)
            known.line, known.quiet_seconds, known.moved = line, 0.0, True
        else:
            known.quiet_seconds += passed
        heard[line.account] = known
    state.heard = heard


def _follow(state: LeaseState, record: LeaseRecord) -> None:
    # What the Lease says about this feeder's own role.
    if record.holder == state.me.identity:
        _follow_own(state, record)
    elif not state.active:
        return
    elif record.holder:
        # A pod of the same account that stands in the Lease before we ever asked for it is our
        # predecessor, and no reason to stop.
        if state.claimed or record.account != state.me.account:
            _demote(state, str(state.reason) if state.yielding else LeaseReason.SUPERSEDED)
    elif not state.yielding or record.transitions != state.given_epoch:
        # The answer to our giving it away was lost, or another took it and gave it away since.
        state.yielding = False
        if state.claimed and record.successor not in {"", state.me.account}:
            gave(state, record.reason or LeaseReason.SHUTDOWN)


def _follow_own(state: LeaseState, record: LeaseRecord) -> None:
    if not state.claimed:
        return
    first = state.acquired_at == NEVER and not state.active
    if first or state.asked_epoch == record.transitions:
        # Asked for in this life, and the answer was lost.
        took(state, record.reason or LeaseReason.RESUMED, state.reached_at)
    elif not state.active:
        _promote(state, LeaseReason.RESUMED)


def _promote(state: LeaseState, reason: str) -> None:
    state.active, state.yielding, state.prepared = True, False, False
    state.reason = reason
    state.changes.append(Promoted(state.epoch, str(reason)))


def _demote(state: LeaseState, reason: str) -> None:
    state.active = state.yielding = state.prepared = False
    state.reason = reason
    state.changes.append(Demoted(state.epoch, str(reason)))
