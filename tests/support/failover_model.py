"""A model of failover: accounts, their Lease, their lines and a sink, in virtual time, seeded.

Drives the product's own round, decision, verdict and replay buffer through schedules of faults
that no cluster shows in an afternoon. What it asserts is in `Story.check`.
"""

import heapq
import random  # noqa: TID251 - every draw comes from the schedule's own seed
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from feedplane_api.worker import CandidateReport, ElectionReport, FailoverPolicy, HealthReport
from feedplane_feeder.core import decision, failover
from feedplane_feeder.core.contest import (
    AnnounceLine,
    Answer,
    Decide,
    PrepareHandover,
    ReadLease,
    Request,
    Round,
    WriteLease,
    play_round,
)
from feedplane_feeder.core.decision import LeaseVerb
from feedplane_feeder.core.failover import LeaseState
from feedplane_feeder.core.lease import Candidate, LeaseReason, LeaseRecord, with_line
from feedplane_feeder.core.ports import Batch, Promoted
from feedplane_feeder.core.replay import ReplayBuffer, holder_fails
from feedplane_feeder.core.verdict import Verdict

TICK = 0.5
REPLAY_SECONDS = 10
STALE_SECONDS = 2.0
STARTING_SECONDS = 1.0
LEASE, RENEW, RETRY = 4.0, 3.0, 1.0
TIMEOUT = 2.0
COOLDOWN, FAILBACK_AFTER = 6, 4
FAULT_SECONDS = 24.0
SETTLE_SECONDS = 60.0
CLEAN_SECONDS = 2 * LEASE + 4 * RETRY + 3.0
"""One that was healthy and in contact for so long is known to everybody."""
DRIFT = 0.005
HEALTHY = HealthReport(healthy=True, reason="Healthy")
STARTING = failover.STARTING
STALE = HealthReport(healthy=False, reason="StreamStale")
REFUSED = HealthReport(healthy=False, reason="CredentialsRefused", definitive=True)
FORCED = {
    LeaseReason.MAINTENANCE,
    LeaseReason.RESTARTED,
    LeaseReason.SHUTDOWN,
    "CredentialsRefused",
}

Item = tuple[int, int]
"""A tick as (n, 0), or a gap a line found in itself as (from, to)."""
JOINT: Item = (0, 0)
"""What follows has to be joined to what the sink holds."""


class BrokenPromiseError(AssertionError):
    """The model was caught breaking one of the promises."""


@dataclass(slots=True)
class Sink:
    """Keeps the first copy of each tick, and the ledger."""

    rows: dict[int, int] = field(default_factory=dict)
    top: int = 0
    ledger: list[Item] = field(default_factory=list)
    down_until: float = 0.0


@dataclass(slots=True)
class Node:
    """One account's feeder, over all its lives."""

    account: str
    offset: float
    rate: float
    pods: int = 0
    life: int = 0
    alive: bool = False
    paused_until: float = 0.0
    cut_until: float = 0.0
    """No way to the API server until then."""
    loss: float = 0.0
    policy_delay: float = 0.0
    line_down_until: float = 0.0
    refused: bool = False
    born: float = 0.0
    last_tick_at: float = 0.0
    clean_since: float = 0.0
    """Healthy and in contact since then, as an all-knowing eye sees it."""
    epoch: int = 0
    took_at: float = 0.0
    fit_since_taken: bool = False
    state: LeaseState = field(init=False)
    verdict: Verdict = field(default_factory=Verdict)
    buffer: ReplayBuffer = field(default_factory=lambda: ReplayBuffer(REPLAY_SECONDS))
    lately: list[tuple[float, int]] = field(default_factory=list)
    inbox: list[int] = field(default_factory=list)
    unsent: list[Item] = field(default_factory=list)
    owed: set[int] = field(default_factory=set)
    last_id: int = 0
    joins: bool = False
    """Whether a joint was passed and nothing came after it yet."""
    round: Round | None = None
    version: int = -1

    def clock(self, now: float) -> float:
        """This machine's own clock."""
        return self.offset + now * self.rate


@dataclass(slots=True, kw_only=True)
class Options:
    """What a schedule is played with; the broken ones are there to be caught."""

    decide: Decide = decision.decide
    forgets_buffer: bool = False
    names_no_holes: bool = False
    stops_before_seen: bool = False


class Story:
    """One schedule from its seed to its verdict."""

    def __init__(self, seed: int, options: Options) -> None:
        self.seed = seed
        self.options = options
        self.rng = random.Random(seed)  # noqa: S311
        self.mode = ("Merged", "Hot", "Warm")[seed % 3]
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self.record = LeaseRecord()
        self.version = 0
        self.api_down_until = 0.0
        self.sink = Sink()
        self.ticks = 0
        self.delivered: set[int] = set()
        self.excused: set[int] = set()
        accounts = tuple("abcd"[: self.rng.choice((2, 2, 2, 3, 3, 4))])
        self.policy = FailoverPolicy(
            accounts=accounts,
            failback_after_seconds=FAILBACK_AFTER,
            cooldown_seconds=COOLDOWN,
            failback="Automatic" if self.rng.random() < 0.7 else "Manual",
        )
        self.nodes = [
            Node(
                account,
                offset=self.rng.uniform(-1e4, 1e4),
                rate=1 + self.rng.uniform(-DRIFT, DRIFT),
                policy_delay=self.rng.uniform(0.0, 3.0),
            )
            for account in accounts
        ]

    def play(self) -> None:
        """Play the schedule and check every promise."""
        for node in self.nodes:
            self.at(self.rng.uniform(0.0, 2.0), self._boot, node)
        self._schedule_faults()
        self.at(TICK, self._tick)
        calm_for = 0
        while self._heap:
            self.now, _, act, args = heapq.heappop(self._heap)
            act(*args)
            if act == self._tick and self.now > FAULT_SECONDS + 3.0:
                calm_for = calm_for + 1 if self._settled() else 0
                if calm_for >= 4:
                    break
            if self.now > FAULT_SECONDS + SETTLE_SECONDS:
                break
        self._check()

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Have something happen."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, act, args))

    # Faults: all of them end before FAULT_SECONDS.

    def _schedule_faults(self) -> None:
        rng = self.rng
        falls = {node.account: 0 for node in self.nodes}
        for _ in range(rng.randint(1, 7)):
            start = rng.uniform(3.0, FAULT_SECONDS - 1.0)
            end = min(FAULT_SECONDS, start + rng.choice((0.7, 2.0, 4.0, 7.0, 12.0, 20.0)))
            node = rng.choice(self.nodes)
            kind = rng.randrange(9)
            if kind in {4, 5}:
                falls[node.account] += 1
                if falls[node.account] > 3:
                    continue
            self.at(start, self._fault, kind, node, end)

    def _fault(self, kind: int, node: Node, end: float) -> None:
        match kind:
            case 0:
                self.api_down_until = max(self.api_down_until, end)
            case 1:
                node.cut_until = max(node.cut_until, end)
            case 2:
                node.loss = self.rng.uniform(0.1, 0.6)
                self.at(end, self._heal, node)
            case 3:
                node.paused_until = max(node.paused_until, end)
            case 4 | 5:
                node.line_down_until = max(node.line_down_until, end)
                node.refused = kind == 5
            case 6:
                self._kill(node, end)
            case 7:
                self.sink.down_until = max(self.sink.down_until, end)
            case _:
                self._ask_by_hand(node, end)

    def _heal(self, node: Node) -> None:
        node.loss = 0.0

    def _kill(self, node: Node, end: float) -> None:
        if not node.alive:
            return
        node.alive = False
        node.life += 1
        node.paused_until = 0.0
        lost = {tick for tick, upto in node.unsent if not upto} | set(node.inbox)
        self.excused |= {tick for tick in lost if tick not in self.sink.rows}
        node.owed -= lost
        node.unsent, node.inbox = [], []
        # A container starts again on its own, or another pod comes in its place.
        back = min(end, self.now + self.rng.choice((1.0, 2.5, 10.0, 20.0)))
        self.at(back, self._boot, node)

    def _ask_by_hand(self, node: Node, end: float) -> None:
        changes: dict[str, Any] = (
            {"active_account": node.account}
            if self.rng.random() < 0.6
            else {"maintenance": (node.account,)}
        )
        self._adopt(self.policy.model_copy(update=changes))
        self.at(end, self._adopt, self.policy)

    def _adopt(self, policy: FailoverPolicy) -> None:
        # A ConfigMap reaches each pod in its own time.
        for node in self.nodes:
            self.at(self.now + node.policy_delay, self._adopt_one, node, policy)

    def _adopt_one(self, node: Node, policy: FailoverPolicy) -> None:
        if node.alive:
            failover.adopt(node.state, policy, node.clock(self.now))

    # Processes.

    def _boot(self, node: Node) -> None:
        if node.alive:
            return
        node.alive = True
        node.life += 1
        node.pods += self.rng.random() < 0.5
        node.born = node.last_tick_at = node.clean_since = self.now
        me = Candidate(
            account=node.account,
            pod=f"p{node.pods}",
            lease_duration_seconds=LEASE,
            renew_deadline_seconds=RENEW,
            retry_period_seconds=RETRY,
        )
        node.state = LeaseState(me, node.clock(self.now), self.policy)
        node.verdict = Verdict()
        node.buffer = ReplayBuffer(REPLAY_SECONDS)
        node.lately, node.last_id, node.joins, node.round = [], 0, False, None
        if self.mode == "Merged":
            node.unsent.append(JOINT)
        self.at(self.now, self._round, node, node.life)

    def _round(self, node: Node, life: int) -> None:
        if self._put_off(node, life, self._round, node, life):
            return
        if node.round is None:
            at = f"{self.now:.6f}"
            node.round = play_round(node.state, node.clock(self.now), at, self.options.decide)
            self._step(node, None)

    def _step(self, node: Node, answer: Answer | None) -> None:
        assert node.round is not None
        try:
            request = next(node.round) if answer is None else node.round.send(answer)
        except StopIteration:
            node.round = None
            self._follow(node)
            self.at(self.now + RETRY / node.rate, self._round, node, node.life)
            return
        self._follow(node)
        self._send(node, request)

    def _put_off(self, node: Node, life: int, act: Callable[..., None], *args: Any) -> bool:
        """Whether a process cannot act now: it is gone, or it stands still."""
        if node.life != life or not node.alive:
            return True
        if node.paused_until > self.now:
            self.at(node.paused_until, act, *args)
            return True
        return False

    # The API server and the ways to it.

    def _send(self, node: Node, request: Request) -> None:
        rng = self.rng
        delay = rng.random() * 0.05
        if isinstance(request, PrepareHandover):
            self._flush(node)
            self.at(self.now + delay, self._answer, node, node.life, None, False)
            return
        lost = self.api_down_until > self.now or node.cut_until > self.now
        if lost or rng.random() < node.loss:
            if not lost and rng.random() < 0.5:
                # Carried out, at once or late, and the answer lost.
                late = self.now + rng.choice((delay, delay, 3.0, 5.0))
                self.at(late, self._arrive, node, node.life, request, False, node.version)
            node.clean_since = self.now + TIMEOUT
            fails_after = rng.choice((0.01, TIMEOUT))
            self.at(self.now + fails_after, self._answer, node, node.life, None, False)
            return
        self.at(self.now + delay, self._arrive, node, node.life, request, True, node.version)

    def _arrive(
        self, node: Node, life: int, request: Request, answered: bool, version: int
    ) -> None:
        conflict = False
        match request:
            case AnnounceLine(line):
                self._store(with_line(self.record, line))
            case WriteLease(record, verb):
                conflict = version != self.version
                if not conflict:
                    self._note_write(node, record, verb, life)
                    self._store(record)
            case ReadLease() | PrepareHandover():
                pass
        if answered:
            delay = self.rng.random() * 0.05
            seen = None if conflict else self.record
            self.at(self.now + delay, self._answer, node, life, seen, conflict, self.version)

    def _store(self, record: LeaseRecord) -> None:
        self.record = record
        self.version += 1

    def _answer(
        self,
        node: Node,
        life: int,
        record: LeaseRecord | None,
        conflict: bool,
        version: int = -1,
    ) -> None:
        if self._put_off(node, life, self._answer, node, life, record, conflict, version):
            return
        if record is not None:
            node.version = version
        self._step(node, Answer(node.clock(self.now), record, conflict))

    def _note_write(self, node: Node, record: LeaseRecord, verb: LeaseVerb, life: int) -> None:
        if verb is LeaseVerb.ACQUIRE:
            self._check_takeover(node, record)
        elif verb is LeaseVerb.YIELD and life == node.life and node.state.active:
            self._check_calm(node, record)

    # Lines, the data path and the sink.

    def _follow(self, node: Node) -> None:
        for change in node.state.changes:
            if isinstance(change, Promoted):
                if change.epoch != node.epoch:
                    # It knows since now, even if the answer to its writing was lost for long.
                    node.epoch, node.took_at = change.epoch, self.now
                    node.fit_since_taken = node.state.health.healthy
                self._promote(node)
            elif self.mode == "Warm":
                node.last_id = 0
        node.state.changes.clear()

    def _promote(self, node: Node) -> None:
        held, _ = node.buffer.take()
        node.unsent.append(JOINT)
        if self.mode != "Hot":
            return
        if not self.options.forgets_buffer:
            node.unsent += [cast("Item", item) for batch in held for item in batch.records]
        recent = self.now - REPLAY_SECONDS
        node.owed |= {tick for when, tick in node.lately if when > recent}

    def _tick(self) -> None:
        self.ticks += 1
        for node in self.nodes:
            if not node.alive:
                continue
            if node.line_down_until <= self.now and self._subscribed(node):
                node.inbox.append(self.ticks)
            if node.paused_until > self.now:
                node.clean_since = self.now + TICK
                continue
            self._flush(node)
            for tick in node.inbox:
                self._receive(node, tick)
            node.inbox.clear()
            self._judge(node)
        self.at(self.now + TICK, self._tick)

    def _subscribed(self, node: Node) -> bool:
        return self.mode != "Warm" or node.state.active

    def _receive(self, node: Node, tick: int) -> None:
        items: list[Item] = [(tick, 0)]
        if node.last_id and tick > node.last_id + 1:
            items.insert(0, (node.last_id + 1, tick - 1))
        node.last_id = tick
        node.last_tick_at = self.now
        if node.state.active or self.mode == "Merged":
            node.unsent += items
            node.owed.add(tick)
        else:
            node.buffer.add(Batch(records=cast("Any", items)), int(self.now * 1e9))
        node.lately.append((self.now, tick))
        if len(node.lately) > 4 * REPLAY_SECONDS:
            del node.lately[: 2 * REPLAY_SECONDS]

    def _flush(self, node: Node) -> None:
        sink = self.sink
        if not node.unsent or sink.down_until > self.now:
            return
        for item in node.unsent:
            tick, upto = item
            if item is JOINT:
                node.joins = True
                continue
            if node.joins:
                node.joins = False
                if tick > sink.top + 1 and not self.options.names_no_holes:
                    sink.ledger.append((sink.top + 1, tick - 1))
            if upto:
                sink.ledger.append((tick, upto))
            elif tick not in sink.rows:
                sink.rows[tick] = 1
                sink.top = max(sink.top, tick)
        node.unsent = []

    def _judge(self, node: Node) -> None:
        down = node.line_down_until > self.now
        resting = not self._subscribed(node)
        if self.now - node.born < STARTING_SECONDS:
            found = STARTING
        elif down and node.refused:
            found = REFUSED
        elif down and (resting or self.now - max(node.last_tick_at, node.born) > STALE_SECONDS):
            found = STALE
        else:
            found = HEALTHY
        report = node.verdict.weigh(found, self.policy, int(self.now * 1e9))
        if (
            not report.healthy
            or down
            or node.cut_until > self.now
            or self.api_down_until > self.now
            or node.loss
        ):
            node.clean_since = self.now + TICK
        node.fit_since_taken = node.fit_since_taken or report.healthy
        if failover.judge(node.state, report, node.clock(self.now)):
            self.at(self.now, self._round, node, node.life)
        if self.mode == "Hot" and not node.state.active:
            node.buffer.keep = self._holder_fails(node)
            node.buffer.prune(int(self.now * 1e9))

    def _holder_fails(self, node: Node) -> bool:
        state = node.state
        record = state.record or LeaseRecord()
        heard = state.heard.get(record.account)
        reached = state.reached(node.clock(self.now))
        word = (heard.line.healthy, state.fresh(record.account)) if heard else None
        return _holder_fails(record.account, reached, word)

    # Promises.

    def _settled(self) -> bool:
        active = [node for node in self.nodes if node.alive and node.state.active]
        if len(active) != 1 or not all(node.alive for node in self.nodes):
            return False
        if any(node.unsent for node in self.nodes if node is not active[0]):
            return False
        return active[0] is self.nodes[0] or self.policy.failback == "Manual"

    def _check(self) -> None:
        for node in self.nodes:
            self._flush(node)
        active = [node.account for node in self.nodes if node.alive and node.state.active]
        self._require(len(active) == 1, f"one account is active in the end, not {active}")
        if self.policy.failback == "Automatic":
            self._require(active == ["a"], f"the preferred account is active again, not {active}")
        rows = self.sink.rows
        owed = set().union(*(node.owed for node in self.nodes)) - set(rows)
        # What only a process that was killed had in hand is a hole like any other.
        self._require(not owed, f"delivered, owed and not in the sink: {sorted(owed)}")
        named = {n for first, last in self.sink.ledger for n in range(first, last + 1)}
        top = self.sink.top
        unnamed = [n for n in range(1, top + 1) if n not in rows and n not in named]
        self._require(not unnamed, f"holes without a row in the ledger: {unnamed}")

    def _check_takeover(self, node: Node, record: LeaseRecord) -> None:
        if node.state.health.healthy or record.transitions <= 1:
            return
        clean = [
            other.account
            for other in self.nodes
            if other is not node
            and other.alive
            and other.paused_until <= self.now
            and other.state.in_service(other.account)
            and self.now - other.clean_since > CLEAN_SECONDS
        ]
        self._require(
            not clean, f"{node.account} is unhealthy and took over ({record.reason}) from {clean}"
        )

    def _check_calm(self, node: Node, record: LeaseRecord) -> None:
        held_for = (self.now - node.took_at) * (1 + 2 * DRIFT) + 0.2
        if record.reason in FORCED or not node.fit_since_taken or held_for >= COOLDOWN:
            return
        if record.reason == LeaseReason.SWITCHOVER_REQUESTED:
            asked = node.state.requested_at >= node.state.acquired_at
            self._require(asked, f"{node.account} switched over again after {held_for:.1f} s")
            return
        self._require(False, f"{node.account} gave up after {held_for:.1f} s: {record.reason}")

    def _require(self, kept: object, promise: str) -> None:
        if not kept:
            raise BrokenPromiseError(
                f"{promise}\n  at {self.now:.2f} s of seed {self.seed} ({self.mode}, "
                f"{len(self.nodes)} accounts); again with: FEEDPLANE_MODEL_SEED={self.seed} "
                "pytest tests/model"
            )


@cache
def _holder_fails(holder: str, reached: bool, word: tuple[bool, bool] | None) -> bool:
    # The product's own judgement; there are few cases, and each report costs its validation.
    report = ElectionReport(holder=holder or None, api_reachable=reached)
    if word is None:
        return holder_fails(report, ())
    healthy, fresh = word
    return holder_fails(report, (CandidateReport(account=holder, healthy=healthy, fresh=fresh),))


def play_schedule(seed: int, options: Options | None = None) -> Story:
    """Play one schedule.

    Raises:
        BrokenPromiseError: the protocol did what it must never do.
    """
    story = Story(seed, options or Options())
    story.play()
    return story
