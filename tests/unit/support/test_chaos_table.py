import pytest
from chaos.feed import Holder
from chaos.referee import Losses, Verdict
from chaos.rounds import Round
from chaos.table import Goals, Slack, Trial, always, faults_of

BUSY = Slack(factor=2.5, seconds=5, late_renewals=1)
NEVER = Goals(failovers_max=0)
ONCE = Goals(failovers_each=1)
STALLED = Goals(stall_p99_seconds=1)


def holder(transitions: int, reason: str) -> Holder:
    return Holder("alpha", "alpha-0", transitions, reason, 0.0)


def played(failovers: int, reason: str, stall_seconds: float) -> Round:
    verdict = Verdict(
        ticks=Losses(), books=Losses(), seconds=9, stall_seconds=stall_seconds, delay_seconds=0
    )
    return Round(
        trial="any",
        number=0,
        verdict=verdict,
        before=holder(3, "Vacant"),
        after=holder(3 + failovers, reason),
        violations=[],
        active="alpha",
    )


@pytest.mark.parametrize(
    ("goals", "failovers", "reason", "stall_seconds", "alone", "busy"),
    [
        (NEVER, 0, "Vacant", 0, True, True),
        (NEVER, 1, "LeaseExpired", 0, False, True),
        (NEVER, 2, "LeaseExpired", 0, False, False),
        (NEVER, 1, "SessionLost", 0, False, False),
        (ONCE, 1, "SessionLost", 0, True, True),
        (ONCE, 0, "LeaseExpired", 0, False, False),
        (ONCE, 2, "LeaseExpired", 0, False, True),
        (ONCE, 2, "SessionLost", 0, False, False),
        (STALLED, 0, "Vacant", 1.0, True, True),
        (STALLED, 0, "Vacant", 7.4, False, True),
        (STALLED, 0, "Vacant", 7.6, False, False),
    ],
)
def test_busy_machine_is_excused_for_lateness_alone(
    goals: Goals, failovers: int, reason: str, stall_seconds: float, alone: bool, busy: bool
) -> None:
    trial = Trial(name="any", rounds=1, inflict=always(lambda _feed, _venue: None), goals=goals)
    rounds = [played(failovers, reason, stall_seconds)]
    assert (not faults_of(trial, rounds)) == alone
    assert (not faults_of(trial, rounds, BUSY)) == busy
