from typing import Any

import pytest

from feedplane_feeder.core.lease import CandidateLine, LeaseRecord
from feedplane_feeder.lease_object import parse_lease, render_lease, render_time

FULL = LeaseRecord(
    holder="main/p1",
    transitions=3,
    duration_seconds=6.0,
    acquire_time="2026-01-01T00:00:00.000000Z",
    renew_time="2026-01-01T00:00:01.000000Z",
    reason="Failback",
    successor="spare",
    candidates=(CandidateLine(account="spare", pod="p2", healthy=True, reason="Healthy", n=4),),
)


@pytest.mark.parametrize(
    "document",
    [{}, {"spec": None}, {"spec": {}, "metadata": {"annotations": None}}],
    ids=["bare", "null spec", "null annotations"],
)
def test_lease_without_a_word_is_vacant(document: dict[str, Any]) -> None:
    assert parse_lease(document) == LeaseRecord()


def test_lease_written_and_read_is_the_same_record() -> None:
    assert parse_lease(render_lease({}, FULL)) == FULL


def test_lease_written_keeps_what_others_put_there() -> None:
    before: dict[str, Any] = {
        "metadata": {"annotations": {"a": "b"}, "managedFields": [1], "labels": {"c": "d"}},
        "spec": {"strategy": "x"},
    }
    written = render_lease(before, FULL)
    assert written["metadata"]["annotations"]["a"] == "b"
    assert written["metadata"]["labels"] == {"c": "d"}
    assert written["spec"]["strategy"] == "x"
    assert "managedFields" not in written["metadata"]
    assert "managedFields" in before["metadata"]


def test_lease_with_a_line_nobody_can_read_leaves_it_out() -> None:
    document = {"metadata": {"annotations": {"candidate.feedplane.dev/spare": "not JSON"}}}
    assert parse_lease(document).candidates == ()


def test_times_are_written_to_the_microsecond() -> None:
    assert render_time(1_790_000_000_123_456_000) == "2026-09-21T14:13:20.123456Z"
