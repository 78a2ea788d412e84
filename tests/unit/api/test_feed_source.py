from typing import Any

import pytest
from support_api_rules import merge_patch

from feedplane_api.conditions import ConditionStatus
from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import (
    AccountStatus,
    FeedSource,
    FeedSourceSpec,
    FeedSourceStatus,
    FeedState,
)
from feedplane_api.names import worker_name
from feedplane_api.worker import FailoverMode, SessionConfig, SessionState

JsonDict = dict[str, Any]

SPEC: JsonDict = {
    "venue": "some-venue",
    "accounts": [{"name": "main"}],
    "sinks": [{"name": "trial", "file": {"path": "/tape"}}],
}


def test_defaults_are_those_of_the_design() -> None:
    spec = FeedSourceSpec.model_validate(SPEC)
    failover = spec.failover
    assert failover.mode is FailoverMode.HOT
    assert (failover.lease_duration_seconds, failover.renew_deadline_seconds) == (6, 4)
    assert (failover.retry_period_seconds, failover.replay_buffer_seconds) == (1, 30)
    assert (failover.failback_after_seconds, failover.cooldown_seconds) == (300, 30)
    assert spec.state is FeedState.RUNNING


def test_defaults_agree_with_the_worker() -> None:
    failover, session = FeedSourceSpec.model_validate(SPEC).failover, SessionConfig()
    assert failover.stale_after_seconds == session.stale_after_seconds
    assert failover.minimum_coverage_percent == session.minimum_coverage_percent
    assert failover.replay_buffer_seconds == session.replay_buffer_seconds


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"accounts": []}, "spec.accounts"),
        ({"accounts": [{"name": f"a{n}"} for n in range(9)]}, "spec.accounts"),
        ({"accounts": [{"name": "main"}, {"name": "main"}]}, "spec.accounts"),
        ({"accounts": [{"name": "line-b"}]}, "spec.accounts[0].name"),
        ({"accounts": [{"name": "main", "fronts": ["192.0.2.1"]}]}, "spec.accounts[0].fronts[0]"),
        ({"sinks": []}, "spec.sinks"),
        ({"endpoints": {"rest": "wss://host"}}, "spec.endpoints.rest"),
        ({"failover": {"mode": "hot"}}, "spec.failover.mode"),
        ({"failover": {"minimumCoveragePercent": 101}}, "spec.failover.minimumCoveragePercent"),
        ({"sharding": {"maxInstrumentsPerShard": 0}}, "spec.sharding.maxInstrumentsPerShard"),
        ({"feeder": {"nodeSelector": {"bad key": "x"}}}, "spec.feeder.nodeSelector.bad key"),
        ({"feeder": {"resources": {"limits": {"cpu": "-"}}}}, "spec.feeder.resources.limits.cpu"),
        ({"feeder": {"hostNetwork": True}}, "spec.feeder.hostNetwork"),
        ({"notifications": [{"name": "team"}]}, "spec.notifications[0].webhook"),
    ],
)  # fmt: skip
def test_spec_out_of_bounds_names_its_field(patch: JsonDict, path: str) -> None:
    spec = merge_patch(SPEC, patch)
    with pytest.raises(InvalidSpecError) as caught:
        FeedSource.parse({"metadata": {"name": "feed"}, "spec": spec})
    assert [problem.path for problem in caught.value.problems] == [path]


def test_account_names_keep_workers_of_two_feeds_apart() -> None:
    # Were a dash allowed, feed `a` with `b-c` and feed `a-b` with `c` would share a Deployment.
    assert worker_name("a", "b-c", 0) == worker_name("a-b", "c", 0)
    spec = {**SPEC, "accounts": [{"name": "b-c"}]}
    with pytest.raises(InvalidSpecError):
        FeedSource.parse({"metadata": {"name": "a"}, "spec": spec})


def test_status_is_written_in_camel_case() -> None:
    status = FeedSourceStatus(
        observed_generation=2,
        active_account="main",
        accounts=(
            AccountStatus(
                name="main",
                session=SessionState.STREAMING,
                healthy=ConditionStatus.TRUE,
                instruments=7,
            ),
        ),
    )
    assert status.model_dump(mode="json", exclude_none=True) == {
        "observedGeneration": 2,
        "conditions": [],
        "activeAccount": "main",
        "accounts": [
            {
                "name": "main",
                "role": "Standby",
                "session": "Streaming",
                "healthy": "True",
                "reason": "",
                "instruments": 7,
            }
        ],
    }
