from typing import Any

import pytest

from feedplane_api.conditions import Reason
from feedplane_operator.core.pods import PodView, judge_pod, parse_pod

POD = {
    "metadata": {"name": "spot-a-0-x", "creationTimestamp": "2026-11-21T08:00:00Z"},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {"name": "sidecar", "state": {"waiting": {"reason": "ImagePullBackOff"}}},
            {"name": "feeder", "restartCount": 2, "state": {"running": {}}},
        ],
    },
}


def test_pod_that_runs_is_read_by_its_feeder() -> None:
    view = parse_pod(POD)
    assert (view.name, view.address, view.ready, view.restarts) == (
        "spot-a-0-x",
        "10.0.0.7",
        True,
        2,
    )
    assert view.waiting_reason == ""
    assert view.created is not None
    assert judge_pod(view) is None


def test_pod_without_status_is_on_its_way() -> None:
    view = parse_pod({"metadata": {"name": "x", "deletionTimestamp": "now"}})
    assert view.deleting
    assert view.created is None
    assert judge_pod(view) is None


def test_pod_ended_container_tells_code_and_message() -> None:
    ended = {"exitCode": 78, "message": " UnknownVenue: no atlantis \n"}
    status = {"name": "feeder", "state": {"waiting": {}}, "lastState": {"terminated": ended}}
    view = parse_pod({"metadata": {"name": "x"}, "status": {"containerStatuses": [status]}})
    assert (view.exit_code, view.exit_message) == (78, "UnknownVenue: no atlantis")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param(
            {"exit_code": 78, "exit_message": "UnknownVenue: x"}, Reason.UNKNOWN_VENUE, id="venue"
        ),
        pytest.param({"exit_code": 78, "exit_message": "x"}, Reason.FEEDER_FAILING, id="config"),
        pytest.param({"exit_code": 69}, Reason.FEEDER_FAILING, id="sink refused"),
        pytest.param(
            {"mount_failure": 'secret "db" not found'}, Reason.SECRET_NOT_FOUND, id="mount"
        ),
        pytest.param({"mount_failure": "disk gone"}, Reason.FEEDER_NOT_RUNNING, id="other mount"),
        pytest.param(
            {"waiting_reason": "CreateContainerConfigError", "waiting_message": "secret x"},
            Reason.SECRET_NOT_FOUND,
            id="secret of a variable",
        ),
        pytest.param({"waiting_reason": "ErrImagePull"}, Reason.FEEDER_NOT_RUNNING, id="image"),
        pytest.param({"unscheduled": "0/1 nodes"}, Reason.FEEDER_NOT_RUNNING, id="no node"),
        pytest.param({"waiting_reason": "CrashLoopBackOff"}, Reason.FEEDER_FAILING, id="crashes"),
        pytest.param({"exit_code": 1, "restarts": 2}, Reason.FEEDER_FAILING, id="restarts"),
    ],
)
def test_pod_in_trouble_is_judged_by_its_cause(fields: dict[str, Any], reason: Reason) -> None:
    judged = judge_pod(PodView(name="x", **fields))
    assert judged is not None
    assert judged[0] is reason


def test_pod_ended_once_is_given_another_try() -> None:
    assert judge_pod(PodView(name="x", exit_code=1, restarts=1)) is None
