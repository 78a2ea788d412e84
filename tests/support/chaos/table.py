"""The table of trials: what is done, how often, at which rate, and what must hold.

`make chaos` plays it whole, the end-to-end tests a round of each with short faults.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from chaos import trials
from chaos.feed import ChaosFeed
from chaos.rounds import Inflict, Round
from feedplane_feeder.core.lease import LeaseReason

FULL_RATE: Final = 5_400
"""What the venue says in a second; each line is sent 5,000 of it."""
ROUNDS_FOR_HALF: Final = 5
HALF_RATE: Final = 2_700


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """Bounds of one trial; None where the table gives none."""

    lost: int = 0
    stall_p50_seconds: float | None = None
    stall_p99_seconds: float | None = None
    takeover_seconds: float | None = None
    streaming_seconds: float | None = None
    failovers_max: int | None = None
    failovers_each: int | None = None
    excused: frozenset[str] = frozenset()
    """Rules of the venue that the network breaks in a feeder's name: it holds messages back."""
    by_ledger_alone: bool = False
    """Holes are allowed where the ledger names them, whoever was sent what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row of the table."""

    name: str
    rounds: int
    inflict: Callable[[int, "Stage"], Inflict]
    goals: Goals
    rate: float = HALF_RATE
    policy: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    no_operator: bool = False
    """Without an operator; one that comes back adopts what happened meanwhile."""
    prepare: Callable[[ChaosFeed], None] | None = None
    single_session: bool = False
    wears_out: bool = False
    """A feeder that was hurt is trusted less; each round begins with fresh ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What trials need to know of the cluster."""

    feed: ChaosFeed
    nodes: Sequence[str]
    feeder_image: str
    other_image: str
    """The feeder's image under another name."""

    @property
    def control_plane(self) -> str:
        """The node with the API server."""
        return next(node for node in self.nodes if node.endswith(trials.CONTROL_PLANE_SUFFIX))


def always(inflict: Inflict) -> Callable[[int, Stage], Inflict]:
    """Do the same in each round."""
    return lambda _number, _stage: inflict


def _upgrade(number: int, stage: Stage) -> Inflict:
    return partial(trials.upgrade, image=(stage.other_image, stage.feeder_image)[number % 2])


def _kill_line(number: int, _stage: Stage) -> Inflict:
    return partial(trials.kill_line, number=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long faults last, in seconds."""

    node_frozen: float = 25.0
    api_server_stopped: float = 60.0
    packet_loss: float = 600.0
    sink_down: float = 60.0
    network_cut: float = 300.0


SHORT: Final = Durations(
    node_frozen=15, api_server_stopped=15, packet_loss=20, sink_down=12, network_cut=12
)
KILLED: Final = Goals(stall_p50_seconds=5, stall_p99_seconds=8)


def build_table(lasting: Durations | None = None) -> tuple[Trial, ...]:
    """Return the trials in the order they are played."""
    return (*_kills(), *_refusals(), *_surroundings(lasting or Durations()))


def _kills() -> tuple[Trial, ...]:
    return (
        Trial(
            name="kill",
            rounds=20,
            inflict=always(trials.kill_active),
            goals=KILLED,
            rate=FULL_RATE,
        ),
        Trial(
            name="kill-operator-down",
            rounds=10,
            inflict=always(trials.kill_active),
            goals=KILLED,
            rate=FULL_RATE,
            no_operator=True,
        ),
        Trial(
            name="kill-merged",
            rounds=10,
            inflict=_kill_line,
            goals=Goals(stall_p99_seconds=1),
            rate=FULL_RATE,
            policy={"mode": "Merged"},
        ),
        Trial(
            name="switchover",
            rounds=20,
            inflict=always(trials.switch_over),
            goals=Goals(stall_p99_seconds=3, failovers_each=1),
            rate=FULL_RATE,
        ),
    )


def _refusals() -> tuple[Trial, ...]:
    return (
        Trial(
            name="mute",
            rounds=10,
            inflict=always(trials.mute_socket),
            goals=Goals(takeover_seconds=7, failovers_each=1),
            wears_out=True,
        ),
        Trial(
            name="refused",
            rounds=10,
            inflict=always(trials.refuse_login),
            goals=Goals(takeover_seconds=3, failovers_each=1),
            wears_out=True,
        ),
        Trial(
            name="banned",
            rounds=10,
            inflict=always(trials.ban),
            goals=Goals(takeover_seconds=3, failovers_each=1),
            wears_out=True,
        ),
        Trial(
            name="both-bad",
            rounds=5,
            inflict=always(trials.hurt_both),
            goals=Goals(streaming_seconds=5, by_ledger_alone=True),
            wears_out=True,
        ),
        Trial(
            name="single-session",
            rounds=20,
            inflict=always(trials.race),
            goals=Goals(),
            rate=500,
            spec={"limits": {"sessionsPerAccount": 1}},
            single_session=True,
        ),
    )


def _surroundings(lasting: Durations) -> tuple[Trial, ...]:
    return (
        Trial(
            name="node-frozen",
            rounds=5,
            inflict=always(partial(trials.freeze_node, seconds=lasting.node_frozen)),
            goals=Goals(stall_p99_seconds=20),
            prepare=trials.move_to_worker,
        ),
        Trial(
            name="api-server-stopped",
            rounds=5,
            inflict=lambda _number, stage: partial(
                trials.stop_api_server,
                node=stage.control_plane,
                seconds=lasting.api_server_stopped,
            ),
            goals=Goals(stall_p99_seconds=1, failovers_max=1),
        ),
        Trial(
            name="sink-down",
            rounds=5,
            inflict=always(partial(trials.take_database, seconds=lasting.sink_down)),
            goals=Goals(failovers_max=0),
        ),
        Trial(name="upgrade", rounds=5, inflict=_upgrade, goals=Goals()),
        Trial(
            name="network-cut",
            rounds=2,
            inflict=always(partial(trials.cut_network, seconds=lasting.network_cut)),
            goals=Goals(by_ledger_alone=True, excused=frozenset({"no-pong"})),
            rate=500,
            wears_out=True,
        ),
        Trial(
            name="packet-loss",
            rounds=1,
            inflict=always(partial(trials.lose_packets, seconds=lasting.packet_loss)),
            goals=Goals(
                failovers_max=2,
                by_ledger_alone=True,
                excused=frozenset({"message-rate", "no-pong"}),
            ),
            rate=500,
            policy={"cooldownSeconds": 30},
            wears_out=True,
        ),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent do not exceed: of few rounds the worst."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """How bounds in time, and those alone, are stretched on a machine that has other work."""

    factor: float = 1.0
    seconds: float = 0.0
    late_renewals: int = 0
    """How often in a round a holder may renew its Lease too late: seconds bound that as well."""

    def stretch(self, bound: float) -> float:
        """Return the bound that counts, in seconds."""
        return bound * self.factor + self.seconds

    def excused(self, each: Round) -> int:
        """Return how many of a round's changes of holder may be none of the trial's."""
        return self.late_renewals if each.after.reason == LeaseReason.EXPIRED else 0


def faults_of(trial: Trial, played: Sequence[Round], slack: Slack = Slack()) -> list[str]:
    """Say what did not hold, or nothing."""
    goals, found = trial.goals, []
    for each in played:
        ticks = each.verdict.ticks
        lost = ticks.unnamed if goals.by_ledger_alone else ticks.missing
        if lost > goals.lost:
            found.append(f"round {each.number}: lost {lost}")
        if ticks.doubled or ticks.foreign:
            found.append(f"round {each.number}: doubled {ticks.doubled}, foreign {ticks.foreign}")
        if each.verdict.books.unnamed:
            found.append(f"round {each.number}: books unnamed {each.verdict.books.unnamed}")
        rules = {violation["rule"] for violation in each.violations} - goals.excused
        if rules:
            found.append(f"round {each.number}: violations {sorted(rules)}")
        if not trial.no_operator and each.active != each.after.account:
            found.append(f"round {each.number}: status says {each.active} publishes")
        found += _timing(goals, each, slack)
    stalls = [each.verdict.stall_seconds for each in played]
    # Half of a few rounds says nothing.
    p50 = goals.stall_p50_seconds if len(stalls) >= ROUNDS_FOR_HALF else None
    for percent, bound in ((50, p50), (99, goals.stall_p99_seconds)):
        if stalls and bound is not None and percentile(stalls, percent) > slack.stretch(bound):
            found.append(f"stall p{percent} {percentile(stalls, percent):.2f} s > {bound} s")
    return found


def _timing(goals: Goals, each: Round, slack: Slack) -> list[str]:
    found = []
    bounds = {
        "takeover_seconds": goals.takeover_seconds,
        "streaming_after_seconds": goals.streaming_seconds,
    }
    for name, bound in bounds.items():
        if bound is not None and each.details.get(name, 0) > slack.stretch(bound):
            found.append(f"round {each.number}: {name} {each.details[name]} > {bound}")
    least, most = goals.failovers_each or 0, goals.failovers_each or goals.failovers_max
    if each.failovers < least or (most is not None and each.failovers > most + slack.excused(each)):
        found.append(f"round {each.number}: {each.failovers} failovers, {each.after.reason}")
    return found
