from collections.abc import Iterable
from dataclasses import replace

import pytest

from feedplane_api.worker import Failback, FailoverPolicy, HealthReport
from feedplane_feeder.core import failover
from feedplane_feeder.core.decision import RENEW, WATCH, LeaseAction, LeaseVerb, decide
from feedplane_feeder.core.failover import LeaseState
from feedplane_feeder.core.lease import Candidate, CandidateLine, LeaseRecord

TRIO = FailoverPolicy(accounts=("a", "b", "c"), failback_after_seconds=60)
HEALTHY = HealthReport(healthy=True, reason="Healthy")
STALE = HealthReport(healthy=False, reason="StreamStale")
REFUSED = HealthReport(healthy=False, reason="CredentialsRefused", definitive=True)
STARTING = failover.STARTING
HELD_BY_B = LeaseRecord(holder="b/p", transitions=3, duration_seconds=6, renew_time="t0")
FREE = LeaseRecord(transitions=3, duration_seconds=1, reason="StreamStale", renew_time="t0")
OFFERED_TO_C = replace(FREE, successor="c")


def policy(**changes: object) -> FailoverPolicy:
    return TRIO.model_copy(update=changes)


def lines(*healthy: str, asks: str | None = None, sick: Iterable[str] = ()) -> list[CandidateLine]:
    return [
        CandidateLine(account=name, pod="p", healthy=name in healthy, asks=asks)
        for name in (*healthy, *sick)
    ]


def facing(
    record: LeaseRecord,
    *,
    account: str = "b",
    health: HealthReport = HEALTHY,
    peers: Iterable[CandidateLine] = (),
    rules: FailoverPolicy = TRIO,
    seconds: float = 0.0,
) -> LeaseState:
    """A feeder that has looked at a Lease once a second for some seconds."""
    state = LeaseState(Candidate(account=account, pod="p"), 0.0, rules)
    failover.judge(state, health, 0.0)
    failover.observe(state, record, 0.0)
    for step in range(int(seconds) + 1):
        moved = tuple(replace(line, n=step) for line in peers)
        failover.observe(state, replace(record, candidates=moved), float(step))
    return state


def at_last(state: LeaseState) -> LeaseAction:
    return decide(state, state.reached_at)


def holding(
    health: HealthReport = HEALTHY,
    peers: Iterable[CandidateLine] = (),
    rules: FailoverPolicy = TRIO,
    held_seconds: float = 100.0,
) -> LeaseState:
    state = facing(HELD_BY_B, peers=peers, rules=rules)
    state.claimed = state.active = True
    state.acquired_at = -held_seconds
    failover.judge(state, health, 0.0)
    return state


def acquire(reason: str) -> LeaseAction:
    return LeaseAction(LeaseVerb.ACQUIRE, reason)


def give(reason: str, successor: str) -> LeaseAction:
    return LeaseAction(LeaseVerb.YIELD, reason, successor)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(holding(), RENEW, id="healthy and nobody asks"),
        pytest.param(holding(STALE), RENEW, id="unhealthy and nobody else there stays"),
        pytest.param(holding(STALE, lines(sick=["a"])), RENEW, id="nobody healthy stays"),
        pytest.param(
            holding(STALE, lines("a", "c")), give("StreamStale", "a"), id="best peer is preferred"
        ),
        pytest.param(
            holding(STALE, lines("c"), held_seconds=29), RENEW, id="health waits for the cooldown"
        ),
        pytest.param(
            holding(REFUSED, lines("c"), held_seconds=1),
            give("CredentialsRefused", "c"),
            id="a definitive reason does not wait",
        ),
        pytest.param(holding(STARTING, lines("c")), RENEW, id="starting is no failure"),
        pytest.param(
            holding(STALE, lines("a"), policy(maintenance=("a",))),
            RENEW,
            id="an account taken out is no peer",
        ),
        pytest.param(
            holding(peers=lines("a"), rules=policy(maintenance=("b",)), held_seconds=1),
            give("Maintenance", "a"),
            id="taken out gives way at once",
        ),
        pytest.param(
            holding(rules=policy(maintenance=("b",))), RENEW, id="taken out and alone stays"
        ),
        pytest.param(
            holding(peers=lines("a", "c"), rules=policy(active_account="c")),
            give("SwitchoverRequested", "c"),
            id="a person named another",
        ),
        pytest.param(
            holding(peers=lines("a", "c"), rules=policy(active_account="c"), held_seconds=1),
            RENEW,
            id="an old request waits for the cooldown",
        ),
        pytest.param(
            holding(peers=lines("a", asks="Failback")), give("Failback", "a"), id="failback"
        ),
        pytest.param(
            holding(peers=lines("a", asks="Failback"), held_seconds=29),
            RENEW,
            id="failback waits for the cooldown",
        ),
        pytest.param(
            holding(peers=lines("c", asks="Failback")), RENEW, id="less preferred asks in vain"
        ),
        pytest.param(
            holding(peers=lines("a", asks="Failback"), rules=policy(failback=Failback.MANUAL)),
            RENEW,
            id="failback by hand only",
        ),
        pytest.param(
            holding(peers=lines("a", asks="Failback"), rules=policy(active_account="b")),
            RENEW,
            id="failback is off while this account is named",
        ),
    ],
)
def test_holder_decides_to_stay_or_give_way(state: LeaseState, expected: LeaseAction) -> None:
    assert at_last(state) == expected


def test_fresh_request_of_a_person_does_not_wait() -> None:
    state = holding(peers=lines("c"), held_seconds=1)
    failover.adopt(state, policy(active_account="c"), 0.0)
    assert at_last(state) == give("SwitchoverRequested", "c")


def test_holder_for_want_of_better_gives_way_at_once() -> None:
    state = holding(STALE, lines("c"), held_seconds=1)
    state.acquired_fit = False
    assert at_last(state) == give("StreamStale", "c")


def test_holder_nobody_took_the_lease_from_keeps_it_for_a_while() -> None:
    state = holding(REFUSED, lines("c"))
    state.keep_until = 10.0
    assert at_last(state) == RENEW


def test_failing_holder_offers_again_to_one_that_recovered_since() -> None:
    state = holding(STALE, lines("c"), held_seconds=1)
    state.acquired_fit = False
    state.keep_until = 10.0
    assert at_last(state) == RENEW
    state.heard["c"].recovered = True
    assert at_last(state) == give("StreamStale", "c")
    failover.judge(state, HEALTHY, 0.0)
    assert at_last(state) == RENEW


def test_leaving_holder_hands_over_to_whom_there_is() -> None:
    state = holding(peers=lines("c"))
    failover.leave(state)
    assert at_last(state) == give("Shutdown", "c")
    alone = holding()
    failover.leave(alone)
    assert at_last(alone) == give("Shutdown", "")
    standby = facing(FREE, seconds=60)
    failover.leave(standby)
    assert at_last(standby) == WATCH


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(
            facing(replace(FREE, successor="b")),
            acquire("StreamStale"),
            id="the successor takes it at once",
        ),
        pytest.param(
            facing(replace(FREE, successor="b"), health=STALE),
            WATCH,
            id="an unhealthy successor does not",
        ),
        pytest.param(facing(OFFERED_TO_C, seconds=2), WATCH, id="others wait for the grace"),
        pytest.param(
            facing(OFFERED_TO_C, seconds=3), acquire("StreamStale"), id="and take it then"
        ),
        pytest.param(
            facing(OFFERED_TO_C, peers=lines("a"), seconds=3),
            WATCH,
            id="a more preferred healthy one goes first",
        ),
        pytest.param(
            facing(OFFERED_TO_C, peers=lines("a"), seconds=4),
            acquire("StreamStale"),
            id="by one retry",
        ),
        pytest.param(
            facing(OFFERED_TO_C, rules=policy(maintenance=("c",))),
            acquire("StreamStale"),
            id="a successor out of service is not waited for",
        ),
        pytest.param(facing(FREE), acquire("StreamStale"), id="free for anybody healthy"),
        pytest.param(facing(FREE, health=STALE, seconds=5), WATCH, id="the unhealthy wait"),
        pytest.param(
            facing(FREE, health=STALE, seconds=6),
            acquire("StreamStale"),
            id="for a lease duration and their turn",
        ),
        pytest.param(
            facing(FREE, health=STALE, peers=lines("c"), seconds=60),
            WATCH,
            id="for good while anybody healthy is there",
        ),
        pytest.param(
            facing(FREE, rules=policy(maintenance=("b",)), seconds=60),
            WATCH,
            id="taken out never takes it",
        ),
        pytest.param(
            facing(FREE, health=STALE, rules=FailoverPolicy()),
            acquire("Vacant"),
            id="a single account takes it at once",
        ),
        pytest.param(
            facing(LeaseRecord(), account="a", health=STARTING),
            acquire("Vacant"),
            id="the preferred account opens a new lease",
        ),
        pytest.param(
            facing(LeaseRecord(), account="a", health=STALE), WATCH, id="not when it fails"
        ),
        pytest.param(
            facing(LeaseRecord(), account="a", health=STARTING, peers=lines("b")),
            WATCH,
            id="nor when another is healthy",
        ),
        pytest.param(
            facing(LeaseRecord(), health=STARTING), WATCH, id="nor when another comes first"
        ),
        pytest.param(
            facing(LeaseRecord(), health=STARTING, rules=policy(maintenance=("a",))),
            acquire("Vacant"),
            id="but the first in service counts",
        ),
    ],
)
def test_candidate_facing_a_free_lease_decides(state: LeaseState, expected: LeaseAction) -> None:
    assert at_last(state) == expected


def test_lease_made_anew_waits_for_its_old_holder() -> None:
    state = facing(HELD_BY_B, account="a")
    failover.observe(state, LeaseRecord(), 1.0)
    assert decide(state, 1.0) == WATCH
    for now in (2.0, 3.0, 4.0):
        failover.observe(state, LeaseRecord(), now)
    assert decide(state, 4.0) == acquire("Vacant")


def test_lease_emptied_under_its_holder_is_taken_again() -> None:
    state = holding()
    failover.observe(state, LeaseRecord(), 1.0)
    assert decide(state, 1.0) == acquire("Vacant")


@pytest.mark.parametrize(("third", "patience"), [((), 3), (("a",), 6)], ids=["no third", "third"])
def test_yielding_holder_takes_back_what_nobody_took(third: tuple[str, ...], patience: int) -> None:
    state = holding(REFUSED, lines("c", *third))
    failover.gave(state, "CredentialsRefused")
    for step in range(patience):
        moved = tuple(replace(line, n=50 + step) for line in lines(*third))
        failover.observe(state, replace(OFFERED_TO_C, candidates=moved), 1.0 + step)
        assert decide(state, 1.0 + step) == WATCH
    moved = tuple(replace(line, n=99) for line in lines(*third))
    failover.observe(state, replace(OFFERED_TO_C, candidates=moved), 1.0 + patience)
    assert decide(state, 1.0 + patience) == acquire("NotTaken")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(
            facing(HELD_BY_B, account="a", seconds=5), WATCH, id="a living lease is respected"
        ),
        pytest.param(
            facing(HELD_BY_B, account="a", seconds=6), acquire("LeaseExpired"), id="until it ends"
        ),
        pytest.param(
            facing(HELD_BY_B, account="c", peers=lines("a"), seconds=6),
            WATCH,
            id="more preferred goes first",
        ),
        pytest.param(
            facing(HELD_BY_B, account="c", peers=lines("a"), seconds=7),
            acquire("LeaseExpired"),
            id="and the next after it",
        ),
        pytest.param(
            facing(HELD_BY_B, account="c", health=STALE, peers=lines("a"), seconds=60),
            WATCH,
            id="the unhealthy never before the healthy",
        ),
        pytest.param(
            facing(HELD_BY_B, account="a", rules=FailoverPolicy(), seconds=6, health=STALE),
            acquire("LeaseExpired"),
            id="a single account whatever its health",
        ),
    ],
)
def test_candidate_facing_another_holder_decides(state: LeaseState, expected: LeaseAction) -> None:
    assert at_last(state) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(
            facing(HELD_BY_B, peers=lines("a")),
            give("Restarted", "a"),
            id="a standby that remembers goes first",
        ),
        pytest.param(
            facing(HELD_BY_B, peers=lines(sick=["a"])),
            LeaseAction(LeaseVerb.RENEW, "Resumed"),
            id="nobody healthy, so the container goes on",
        ),
        pytest.param(
            facing(replace(HELD_BY_B, holder="b/p0")),
            acquire("Restarted"),
            id="or the new pod takes it",
        ),
        pytest.param(
            facing(HELD_BY_B, rules=policy(maintenance=("b",))),
            give("Maintenance", ""),
            id="taken out frees it",
        ),
        pytest.param(
            facing(HELD_BY_B, rules=FailoverPolicy()),
            LeaseAction(LeaseVerb.RENEW, "Resumed"),
            id="a single account goes on",
        ),
    ],
)
def test_candidate_finding_its_earlier_life_decides(
    state: LeaseState, expected: LeaseAction
) -> None:
    assert at_last(state) == expected


def test_assumed_publisher_finding_its_earlier_life_goes_on() -> None:
    state = facing(HELD_BY_B, peers=lines("a"))
    failover.assume(state)
    assert at_last(state) == LeaseAction(LeaseVerb.RENEW, "Resumed")


def test_candidate_that_never_saw_the_api_publishes_after_a_lease_duration() -> None:
    state = LeaseState(Candidate(account="b", pod="p"), 0.0, TRIO)
    assert decide(state, 5.9) == WATCH
    assert decide(state, 6.0) == LeaseAction(LeaseVerb.ASSUME, "ApiUnreachable")
    failover.assume(state)
    assert decide(state, 3_600.0) == WATCH
    leaving = LeaseState(Candidate(account="b", pod="p"), 0.0, TRIO)
    failover.leave(leaving)
    assert decide(leaving, 60.0) == WATCH


@pytest.mark.parametrize(
    "record", [replace(HELD_BY_B, holder="c/p"), OFFERED_TO_C], ids=["holder", "successor"]
)
def test_candidate_that_knows_of_somebody_never_assumes(record: LeaseRecord) -> None:
    assert decide(facing(record), 3_600.0) == WATCH


def test_active_feeder_without_the_api_goes_on() -> None:
    state = holding(STALE, lines("c"))
    assert decide(state, 3_600.0) == WATCH
    assert state.active
