from dataclasses import replace

import pytest

from feedplane_api.worker import Failback, FailoverPolicy, HealthReport
from feedplane_feeder.core import failover
from feedplane_feeder.core.failover import LeaseState
from feedplane_feeder.core.lease import Candidate, CandidateLine, LeaseRecord
from feedplane_feeder.core.ports import Demoted, Promoted

ME = Candidate(account="main", pod="p1")
PAIR = FailoverPolicy(accounts=("main", "spare"), failback_after_seconds=60)
HEALTHY = HealthReport(healthy=True, reason="Healthy")
STALE = HealthReport(healthy=False, reason="StreamStale")
REFUSED = HealthReport(healthy=False, reason="CredentialsRefused", definitive=True)
STARTING = HealthReport(healthy=False, reason="Starting")
SPARE = CandidateLine(account="spare", pod="p2", healthy=True, reason="Healthy", n=1)
OTHERS = LeaseRecord(holder="spare/p2", transitions=4, duration_seconds=6, renew_time="t0")


def fresh_state(policy: FailoverPolicy = PAIR, me: Candidate = ME) -> LeaseState:
    return LeaseState(me, 0.0, policy)


def holding() -> LeaseState:
    state = fresh_state()
    state.claimed = True
    failover.observe(state, LeaseRecord(holder="main/p1", transitions=2, reason="Vacant"), 0.0)
    assert state.changes == [Promoted(2, "Vacant")]
    state.changes.clear()
    return state


def test_silence_counts_between_readings_that_show_the_same() -> None:
    state = fresh_state()
    for now in (0.0, 1.0, 2.5):
        failover.observe(state, OTHERS, now)
    assert state.silent_seconds == 2.5
    failover.observe(state, replace(OTHERS, renew_time="t1"), 3.0)
    assert state.silent_seconds == 0.0


def test_time_without_readings_counts_for_two_retries_only() -> None:
    state = fresh_state()
    failover.observe(state, OTHERS, 0.0)
    failover.observe(state, OTHERS, 3.5)
    assert state.silent_seconds == 2.0


def test_silence_begins_anew_after_the_api_server_was_away() -> None:
    state = fresh_state()
    for now in (0.0, 1.0, 2.0, 600.0):
        failover.observe(state, OTHERS, now)
    assert state.silent_seconds == 0.0


def test_peer_is_fresh_once_its_line_was_seen_to_change() -> None:
    state = fresh_state()
    record = replace(OTHERS, candidates=(SPARE,))
    failover.observe(state, record, 0.0)
    assert state.plausible("spare")
    assert not state.fresh("spare")
    failover.observe(state, replace(record, candidates=(replace(SPARE, n=2),)), 1.0)
    assert state.fit("spare")
    for now in range(2, 8):
        failover.observe(state, replace(record, candidates=(replace(SPARE, n=2),)), now)
    assert not state.fresh("spare")
    assert not state.plausible("spare")
    failover.observe(state, OTHERS, 9.0)
    assert state.heard == {}


def test_line_that_appears_later_belongs_to_somebody_there() -> None:
    state = fresh_state()
    failover.observe(state, OTHERS, 0.0)
    failover.observe(state, replace(OTHERS, candidates=(SPARE,)), 1.0)
    assert state.fit("spare")
    assert state.unled_seconds == 0.0


def test_own_line_is_nobody_elses_word() -> None:
    state = fresh_state()
    failover.observe(state, replace(OTHERS, candidates=(replace(SPARE, account="main"),)), 0.0)
    assert state.heard == {}


@pytest.mark.parametrize(
    ("policy", "account", "expected"),
    [
        (PAIR, "spare", True),
        (PAIR, "stranger", False),
        (FailoverPolicy(), "main", True),
        (PAIR.model_copy(update={"maintenance": ("spare",)}), "spare", False),
        (PAIR.model_copy(update={"maintenance": ("spare", "main")}), "spare", True),
    ],
    ids=["listed", "not listed", "oneself", "taken out", "all taken out"],
)
def test_account_is_in_service_unless_taken_out(
    policy: FailoverPolicy, account: str, expected: bool
) -> None:
    assert fresh_state(policy).in_service(account) is expected


def test_account_without_another_in_service_is_alone() -> None:
    assert fresh_state(FailoverPolicy()).alone()
    assert fresh_state(PAIR.model_copy(update={"maintenance": ("spare",)})).alone()
    assert not fresh_state().alone()
    assert fresh_state(FailoverPolicy(accounts=("spare",))).preference("main") == 1


def test_verdict_is_news_when_it_turns_or_becomes_definitive() -> None:
    state = fresh_state()
    assert not failover.judge(state, STARTING, 1.0)
    assert not state.failing()
    assert failover.judge(state, HEALTHY, 2.0)
    assert not failover.judge(state, HEALTHY, 3.0)
    assert state.healthy_since == 2.0
    assert failover.judge(state, STALE, 4.0)
    assert state.failing()
    assert failover.judge(state, REFUSED, 5.0)
    assert not failover.judge(state, REFUSED, 6.0)
    assert state.healthy_since is None


def test_policy_naming_another_account_is_a_new_request() -> None:
    state = fresh_state()
    failover.adopt(state, PAIR.model_copy(update={"cooldown_seconds": 1}), 5.0)
    assert state.requested_at == failover.NEVER
    failover.adopt(state, PAIR.model_copy(update={"active_account": "spare"}), 6.0)
    assert state.requested_at == 6.0


def test_holder_frozen_for_longer_than_its_lease_is_not_active() -> None:
    state = holding()
    assert not failover.beat(state, 1.0)
    assert not failover.beat(state, 6.0)
    assert failover.beat(state, 13.0)
    assert state.changes == [Demoted(2, "Frozen")]
    failover.observe(state, LeaseRecord(holder="main/p1", transitions=2), 13.1)
    assert state.changes[-1] == Promoted(2, "Resumed")


def test_standby_frozen_changes_nothing() -> None:
    state = fresh_state()
    failover.beat(state, 0.0)
    assert failover.beat(state, 60.0)
    assert state.changes == []


def test_holder_finding_another_is_superseded() -> None:
    state = holding()
    failover.observe(state, OTHERS, 1.0)
    assert state.changes == [Demoted(4, "Superseded")]
    assert not state.active


def test_yielding_holder_finding_another_says_why_it_yielded() -> None:
    state = holding()
    failover.gave(state, "StreamStale")
    assert state.active
    failover.observe(state, OTHERS, 1.0)
    assert state.changes == [Demoted(4, "StreamStale")]


def test_lost_answer_to_a_release_is_found_on_the_lease() -> None:
    state = holding()
    offered = LeaseRecord(transitions=2, successor="spare", reason="Failback")
    failover.observe(state, offered, 1.0)
    assert state.yielding
    failover.observe(state, OTHERS, 2.0)
    assert state.changes == [Demoted(4, "Failback")]


def test_lease_emptied_by_a_strange_hand_is_not_given_away() -> None:
    state = holding()
    failover.observe(state, LeaseRecord(transitions=2), 1.0)
    assert state.active
    assert not state.yielding


def test_predecessor_of_the_same_account_is_no_reason_to_stop() -> None:
    state = fresh_state()
    failover.assume(state)
    failover.observe(state, LeaseRecord(holder="main/p0", transitions=3), 1.0)
    assert state.active
    state.claimed = True
    failover.observe(state, LeaseRecord(holder="main/p2", transitions=4), 2.0)
    assert not state.active


def test_standby_giving_the_lease_away_does_not_publish() -> None:
    state = fresh_state()
    failover.gave(state, "Restarted")
    assert not state.yielding


def test_handover_that_did_not_come_about_resumes_in_full() -> None:
    state = holding()
    failover.keep_role(state)
    assert state.changes == []
    state.prepared = True
    failover.keep_role(state)
    assert state.changes == [Promoted(2, "NotTaken")]
    assert not state.prepared


def test_lease_taken_back_is_not_offered_again_soon() -> None:
    state = holding()
    failover.took(state, "NotTaken", 100.0)
    assert state.keep_until == 130.0


def test_peer_recovers_by_turning_healthy_after_a_lease_was_taken_back() -> None:
    state = fresh_state()
    sick = replace(SPARE, healthy=False, n=2)
    for line in (SPARE, sick, replace(SPARE, n=3)):
        failover.observe(state, replace(OTHERS, candidates=(line,)), 0.0)
    assert state.heard["spare"].recovered
    failover.took(state, "NotTaken", 1.0)
    failover.observe(state, replace(OTHERS, candidates=(replace(SPARE, n=4),)), 2.0)
    assert not state.heard["spare"].recovered
    failover.observe(state, replace(OTHERS, candidates=(replace(sick, n=5),)), 3.0)
    failover.observe(state, replace(OTHERS, candidates=(replace(SPARE, n=6),)), 4.0)
    assert state.heard["spare"].recovered


def test_healthy_standby_looks_more_often_while_the_holder_fails() -> None:
    state = fresh_state()
    retry = ME.retry_period_seconds
    failover.judge(state, HEALTHY, 0.0)
    assert failover.pause_seconds(state) == retry
    failover.observe(state, replace(OTHERS, candidates=(SPARE,)), 0.0)
    assert failover.pause_seconds(state) == retry
    sick = replace(SPARE, healthy=False, n=2)
    failover.observe(state, replace(OTHERS, candidates=(sick,)), 1.0)
    assert failover.pause_seconds(state) == retry * failover.HURRY
    failover.judge(state, STALE, 1.0)
    assert failover.pause_seconds(state) == retry
    failover.judge(state, HEALTHY, 1.0)
    for now in range(2, 9):
        failover.observe(state, replace(OTHERS, candidates=(sick,)), now)
    assert failover.pause_seconds(state) == retry  # nobody is there any more


def test_taken_for_want_of_better_ends_when_the_account_recovers() -> None:
    state = holding()
    failover.took(state, "LeaseExpired", 100.0)
    assert not state.acquired_fit
    failover.judge(state, HEALTHY, 101.0)
    assert state.acquired_fit


def test_feeder_that_stops_says_so_once() -> None:
    state = holding()
    failover.stop(state, "Shutdown")
    failover.stop(state, "Shutdown")
    assert state.changes == [Demoted(2, "Shutdown")]


def test_line_is_due_when_old_or_no_longer_true() -> None:
    state = fresh_state()
    assert failover.announcement_due(state, 0.0)
    line = failover.build_line(state, 0.0)
    failover.announced(state, line, 0.0)
    assert line.n == 1
    assert not failover.announcement_due(state, 1.9)
    assert failover.announcement_due(state, 2.0)
    failover.judge(state, HEALTHY, 1.0)
    assert failover.announcement_due(state, 1.0)
    failover.leave(state)
    assert not failover.build_line(state, 1.0).healthy


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Failback"),
        ({"failback": Failback.MANUAL}, None),
        ({"failback_after_seconds": 101}, None),
        ({"active_account": "main"}, "Requested"),
        ({"active_account": "spare"}, None),
        ({"maintenance": ("main",)}, None),
    ],
    ids=["healthy long enough", "manual", "too soon", "named", "other named", "taken out"],
)
def test_candidate_asks_for_what_the_policy_allows(
    changes: dict[str, object], expected: str | None
) -> None:
    state = fresh_state(PAIR.model_copy(update=changes))
    assert failover.build_line(state, 100.0).asks is None
    failover.judge(state, HEALTHY, 0.0)
    assert failover.build_line(state, 100.0).asks == expected


def test_holder_asks_for_nothing() -> None:
    state = holding()
    failover.judge(state, HEALTHY, 0.0)
    assert failover.build_line(state, 100.0).asks is None


def test_lost_answer_to_an_acquisition_is_found_on_the_lease() -> None:
    state = fresh_state()
    failover.assume(state)
    state.claimed, state.asked_epoch = True, 3
    mine = LeaseRecord(holder="main/p1", transitions=3, reason="LeaseExpired")
    failover.observe(state, mine, 10.0)
    assert state.changes[1:] == [Promoted(3, "LeaseExpired")]
    assert state.acquired_at == 10.0
    failover.observe(state, mine, 11.0)
    assert len(state.changes) == 2


def test_predecessor_of_the_same_name_makes_nobody_active() -> None:
    state = fresh_state()
    failover.observe(state, LeaseRecord(holder="main/p1", transitions=3), 1.0)
    assert not state.active


def test_lease_taken_and_offered_back_is_another_offer() -> None:
    state = holding()
    failover.gave(state, "Failback")
    failover.observe(state, LeaseRecord(transitions=2, successor="spare"), 1.0)
    assert state.yielding
    failover.observe(state, LeaseRecord(transitions=3, successor="main"), 2.0)
    assert state.active
    assert not state.yielding
    failover.gave(state, "Failback")
    failover.observe(state, LeaseRecord(transitions=4, successor="spare"), 3.0)
    assert (state.yielding, state.given_epoch) == (True, 4)
