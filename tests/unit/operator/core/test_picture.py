from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support_plans import NOW, held_lease, parse_feed, running_pod
from support_resources import feeder_status

from feedplane_api.conditions import Reason
from feedplane_api.worker import Coverage, HealthReport, SessionState
from feedplane_operator.core.observed import FeederView, Observed
from feedplane_operator.core.picture import find_active, find_trouble, picture_accounts

REFUSED = HealthReport(healthy=False, reason="AccountBanned")
POD = (running_pod("spot-a-0"),)


def test_holder_of_the_first_shard_is_active() -> None:
    leases = {
        "spot-publisher-0": held_lease("a", epoch=2, reason="SessionLost"),
        "spot-publisher-1": held_lease("b", epoch=3),
    }
    active = find_active(parse_feed(), Observed(leases=leases), NOW)
    assert (active.account, active.epoch, active.reason) == ("a", 5, "SessionLost")
    assert active.since == NOW


def test_any_shard_speaks_when_the_first_is_gone() -> None:
    leases = {"spot-publisher-1": held_lease("b")}
    assert find_active(parse_feed(), Observed(leases=leases), NOW).account == "b"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"renew_time": NOW - timedelta(seconds=17)}, id="expired"),
        pytest.param({"renew_time": None}, id="never renewed"),
        pytest.param({"holder": ""}, id="released"),
    ],
)
def test_lease_nobody_holds_makes_nobody_active(changes: dict[str, Any]) -> None:
    lease = replace(held_lease(), **changes)
    active = find_active(parse_feed(), Observed(leases={"spot-publisher-0": lease}), NOW)
    assert (active.account, active.since, active.epoch) == (None, None, 1)


@pytest.mark.parametrize(
    ("pods", "view", "reason"),
    [
        pytest.param((), FeederView(), Reason.STARTING, id="no pod"),
        pytest.param(
            (running_pod("x", deleting=True),), FeederView(), Reason.STARTING, id="pod going"
        ),
        pytest.param(
            (running_pod("x", address=""),), FeederView(), Reason.STARTING, id="pod without address"
        ),
        pytest.param(POD, FeederView(error="Timeout"), Reason.FEEDER_UNREACHABLE, id="silent"),
        pytest.param(
            (running_pod("x", ready=False),),
            FeederView(error="Refused"),
            Reason.STARTING,
            id="not up yet",
        ),
        pytest.param(
            POD, FeederView(error="Refused", early=True), Reason.STARTING, id="asked too early"
        ),
        pytest.param(
            POD,
            FeederView(report=feeder_status(pod="spot-a-0-former")),
            Reason.STARTING,
            id="the pod before answered last",
        ),
        pytest.param(
            (running_pod("x", ready=False, waiting_reason="ErrImagePull"),),
            FeederView(),
            Reason.FEEDER_NOT_RUNNING,
            id="no image",
        ),
    ],
)
def test_feeder_that_does_not_answer_has_a_cause(
    pods: Any, view: FeederView, reason: Reason
) -> None:
    trouble = find_trouble(view, pods, NOW)
    assert trouble is not None
    assert trouble[0] is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"banned_until_time": NOW + timedelta(minutes=1), "health": REFUSED},
            Reason.ACCOUNT_BANNED,
            id="banned",
        ),
        pytest.param({"session": SessionState.DISCONNECTED}, Reason.SESSION_LOST, id="lost"),
        pytest.param({"session": SessionState.SUBSCRIBING}, Reason.STARTING, id="subscribing"),
        pytest.param({"session": SessionState.STALE}, Reason.STREAM_STALE, id="stale"),
        pytest.param(
            {"health": HealthReport(healthy=False, reason="CoverageLow", message="few")},
            Reason.COVERAGE_LOW,
            id="unhealthy with a reason we know",
        ),
        pytest.param(
            {"health": HealthReport(healthy=False, reason="Moody")},
            Reason.STREAM_STALE,
            id="unhealthy with a reason we do not",
        ),
    ],
)
def test_feeder_that_answers_badly_has_a_cause(changes: dict[str, Any], reason: Reason) -> None:
    view = FeederView(report=feeder_status(**changes))
    trouble = find_trouble(view, POD, NOW)
    assert trouble is not None
    assert trouble[0] is reason


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(FeederView(), id="not asked yet"),
        pytest.param(FeederView(report=feeder_status()), id="streams"),
        pytest.param(
            FeederView(
                report=feeder_status(coverage=Coverage(), session=SessionState.DISCONNECTED)
            ),
            id="nothing wanted of it",
        ),
        pytest.param(
            FeederView(report=feeder_status(banned_until_time=NOW + timedelta(minutes=1))),
            id="a ban that does not touch the stream",
        ),
    ],
)
def test_feeder_without_cause_has_no_trouble(view: FeederView) -> None:
    assert find_trouble(view, POD, NOW) is None


def test_account_is_as_good_as_its_worst_shard() -> None:
    observed = Observed(
        pods={"spot-a-0": POD, "spot-a-1": (running_pod("spot-a-1"),)},
        feeders={
            "spot-a-0": FeederView(report=feeder_status()),
            "spot-a-1": FeederView(report=feeder_status(session=SessionState.CONNECTING)),
        },
    )
    (account,) = picture_accounts(parse_feed(), observed, (0, 1), NOW)
    assert account.session is SessionState.CONNECTING
    assert not account.streams
    assert not account.unasked


def test_standby_that_need_not_stream_is_as_good_as_it_says() -> None:
    feed = parse_feed(accounts=[{"name": "a"}, {"name": "b"}], failover={"mode": "Warm"})
    resting = FeederView(report=feeder_status(session=SessionState.DISCONNECTED))
    observed = Observed(
        pods={"spot-a-0": POD, "spot-b-0": POD},
        feeders={"spot-a-0": resting, "spot-b-0": resting},
        leases={"spot-publisher-0": held_lease("a")},
    )
    active, standby = picture_accounts(feed, observed, (0,), NOW)
    assert (active.holds, active.streams, active.verdict) == (True, False, None)
    assert (standby.holds, standby.streams) == (False, True)


def test_account_whose_pod_runs_unasked_is_undecided() -> None:
    (account,) = picture_accounts(parse_feed(), Observed(pods={"spot-a-0": POD}), (0,), NOW)
    assert account.unasked
    assert account.session is SessionState.DISCONNECTED
