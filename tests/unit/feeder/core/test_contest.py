from dataclasses import replace

from feedplane_api.worker import FailoverPolicy, HealthReport
from feedplane_feeder.core import failover
from feedplane_feeder.core.contest import (
    AnnounceLine,
    Answer,
    PrepareHandover,
    ReadLease,
    Request,
    WriteLease,
    play_round,
)
from feedplane_feeder.core.decision import LeaseVerb
from feedplane_feeder.core.failover import LeaseState
from feedplane_feeder.core.lease import Candidate, CandidateLine, LeaseRecord, with_line
from feedplane_feeder.core.ports import Demoted, Promoted

PAIR = FailoverPolicy(accounts=("a", "b"))
HEALTHY = HealthReport(healthy=True, reason="Healthy")
REFUSED = HealthReport(healthy=False, reason="CredentialsRefused", definitive=True)
FREE = LeaseRecord(transitions=3, duration_seconds=1, renew_time="t0")
PEER = CandidateLine(account="b", pod="p", healthy=True)


def play(state: LeaseState, now: float, replies: list[Answer]) -> list[Request]:
    """Play one round against answers prepared; the requests that were made."""
    asked = []
    game = play_round(state, now, f"at {now}")
    try:
        asked.append(next(game))
        for reply in replies:
            asked.append(game.send(reply))  # noqa: PERF401 - kept when the round ends
    except StopIteration:
        return asked
    game.close()
    return asked


def candidate(policy: FailoverPolicy = FailoverPolicy()) -> LeaseState:  # noqa: B008 - frozen
    state = LeaseState(Candidate(account="a", pod="p"), 0.0, policy)
    failover.judge(state, HEALTHY, 0.0)
    return state


def holder(policy: FailoverPolicy = FailoverPolicy()) -> LeaseState:  # noqa: B008 - frozen
    state = candidate(policy)
    mine = replace(FREE, holder="a/p", transitions=4)
    play(state, 0.0, [Answer(0.1, FREE), Answer(0.2, mine)])
    assert state.changes == [Promoted(4, "Vacant")]
    state.changes.clear()
    return state


def yielding_holder() -> tuple[LeaseState, LeaseRecord]:
    """A holder that is about to give way to a fresh peer."""
    state = holder(PAIR)
    mine = with_line(replace(FREE, holder="a/p", transitions=4), PEER)
    failover.observe(state, mine, 1.0)
    failover.judge(state, REFUSED, 1.0)
    return state, mine


def test_round_announces_reads_and_acquires() -> None:
    state = candidate()
    asked = play(state, 0.0, [Answer(0.1, FREE), Answer(0.2, replace(FREE, holder="a/p"))])
    assert isinstance(asked[0], AnnounceLine)
    assert isinstance(asked[1], WriteLease)
    assert asked[1].record.holder == "a/p"
    assert asked[1].record.transitions == 4
    assert asked[1].record.candidates[0].n == 2
    assert len(asked) == 2


def test_round_of_a_standby_with_nothing_to_say_only_reads() -> None:
    state = candidate(PAIR)
    others = replace(FREE, holder="b/p", duration_seconds=6)
    assert isinstance(play(state, 0.0, [Answer(0.1, others)])[0], AnnounceLine)
    assert play(state, 1.0, [Answer(1.1, others)]) == [ReadLease()]
    assert play(state, 1.5, [Answer(3.5)]) == [ReadLease()]


def test_round_of_the_holder_renews_blindly() -> None:
    state = holder()
    [asked] = play(state, 1.0, [Answer(1.1, replace(FREE, holder="a/p", transitions=4))])
    assert isinstance(asked, WriteLease)
    assert (asked.verb, asked.record.renew_time) == (LeaseVerb.RENEW, "at 1.0")
    assert state.changes == []


def test_round_that_conflicts_reads_and_decides_anew() -> None:
    state = holder()
    another = replace(FREE, holder="b/p", transitions=5, duration_seconds=6)
    asked = play(state, 1.0, [Answer(1.1, conflict=True), Answer(1.2, another)])
    assert [type(each) for each in asked] == [WriteLease, ReadLease]
    assert state.changes == [Demoted(5, "Superseded")]


def test_round_that_conflicts_again_and_again_ends() -> None:
    state = holder()
    mine = replace(FREE, holder="a/p", transitions=4)
    replies = [Answer(1.1, conflict=True), Answer(1.2, mine)] * 5
    assert len(play(state, 1.0, replies)) == 6
    assert state.active


def test_round_whose_conflict_cannot_be_read_ends() -> None:
    state = holder()
    assert len(play(state, 1.0, [Answer(1.1, conflict=True), Answer(3.1)])) == 2
    assert state.active


def test_round_of_a_holder_out_of_contact_looks_first() -> None:
    state = holder()
    mine = replace(FREE, holder="a/p", transitions=4)
    for now in (1.0, 3.0, 5.0):
        play(state, now, [Answer(now + 1.0)])
    asked = play(state, 7.0, [Answer(7.1, mine), Answer(7.2, mine)])
    assert [type(each) for each in asked] == [AnnounceLine, WriteLease]
    assert state.changes == []


def test_round_without_any_answer_ends_in_publishing() -> None:
    state = candidate()
    for now in (0.0, 3.0):
        assert len(play(state, now, [Answer(now + 2.0)])) == 1
    assert state.changes == []
    play(state, 6.0, [Answer(8.0)])
    assert state.changes == [Promoted(0, "ApiUnreachable")]


def test_round_that_gives_way_prepares_first() -> None:
    state, mine = yielding_holder()
    given = replace(mine, holder="", successor="b", reason="CredentialsRefused")
    asked = play(state, 1.1, [Answer(3.0), Answer(3.1, given)])
    assert isinstance(asked[0], PrepareHandover)
    assert isinstance(asked[1], WriteLease)
    assert (asked[1].record.holder, asked[1].record.successor) == ("", "b")
    assert state.active
    assert state.yielding
    assert state.changes == []


def test_round_whose_release_gets_no_answer_goes_on_in_full() -> None:
    state, _ = yielding_holder()
    play(state, 1.1, [Answer(3.0), Answer(5.0)])
    assert state.changes == [Promoted(4, "NotTaken")]


def test_round_whose_release_conflicts_does_not_prepare_twice() -> None:
    state, mine = yielding_holder()
    asked = play(state, 1.1, [Answer(3.0), Answer(3.1, conflict=True), Answer(3.2, mine)])
    assert [type(each) for each in asked] == [PrepareHandover, WriteLease, ReadLease, WriteLease]


def test_round_whose_reason_is_gone_goes_on_in_full() -> None:
    state, mine = yielding_holder()
    play(state, 1.1, [Answer(3.0), Answer(3.1, conflict=True)])
    failover.judge(state, HEALTHY, 3.2)
    state.changes.clear()
    play(state, 3.5, [Answer(3.6, mine)])
    assert state.changes == [Promoted(4, "NotTaken")]


def test_round_frozen_while_it_prepared_gives_nothing_away() -> None:
    state, _ = yielding_holder()
    asked = play(state, 1.1, [Answer(60.0)])
    assert asked == [PrepareHandover()]
    assert state.changes == [Demoted(4, "Frozen")]


def test_round_frozen_while_it_wrote_is_not_active_by_that() -> None:
    state = candidate()
    failover.beat(state, 0.0)
    mine = replace(FREE, holder="a/p", transitions=4)
    play(state, 0.0, [Answer(0.1, FREE), Answer(60.0, mine)])
    assert not state.active
    play(state, 61.0, [Answer(61.1, mine)])
    assert state.changes == [Promoted(4, "Resumed")]


def test_restarted_standby_gives_its_old_lease_to_the_peer() -> None:
    state = candidate(PAIR)
    mine = with_line(replace(FREE, holder="a/p", transitions=4), PEER)
    given = replace(mine, holder="", successor="b")
    asked = play(state, 0.0, [Answer(0.1, mine), Answer(0.2, given)])
    assert [type(each) for each in asked] == [AnnounceLine, WriteLease]
    assert not state.active
    assert state.changes == []
