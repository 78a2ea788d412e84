from typing import Any

import pytest
from support_backfills import ended, pod

from feedplane_operator.core.backfill_pods import parse_job, parse_jobs
from feedplane_operator.core.plan import Ref


def job(**status: Any) -> dict[str, Any]:
    metadata = {
        "name": "history-1",
        "labels": {"feedplane.dev/run": "1"},
        "creationTimestamp": "2026-11-21T08:00:00Z",
    }
    spec = {"completions": 4, "parallelism": 2}
    return {"kind": "Job", "metadata": metadata, "spec": spec, "status": status}


def test_last_words_of_a_worker_are_its_report() -> None:
    words = ended(3, rows_new=7).last_words
    assert words is not None
    assert (words.worker, words.rows_new, words.ended) == (3, 7, True)


def test_last_words_that_are_none_leave_the_sentence() -> None:
    found = pod(1, "UnknownVenue: moon", exit_code=78)
    assert found.last_words is None
    assert (found.view.exit_code, found.view.exit_message) == (78, "UnknownVenue: moon")
    assert (found.index, found.ended, found.running) == (1, True, False)


@pytest.mark.parametrize(
    ("status", "complete", "failed"),
    [
        pytest.param({}, False, None, id="under way"),
        pytest.param(
            {"conditions": [{"type": "Complete", "status": "True"}]}, True, None, id="complete"
        ),
        pytest.param(
            {"conditions": [{"type": "Failed", "status": "True", "message": "why"}]},
            False,
            "why",
            id="failed",
        ),
        pytest.param(
            {"conditions": [{"type": "Failed", "status": "True", "reason": "Why"}]},
            False,
            "Why",
            id="failed without a message",
        ),
        pytest.param(
            {"conditions": [{"type": "Complete", "status": "False"}]}, False, None, id="not yet"
        ),
    ],
)
def test_job_says_how_it_ended(status: Any, complete: bool, failed: str | None) -> None:
    view = parse_job(job(**status))
    assert (view.complete, view.failed) == (complete, failed)
    assert view.finished == (complete or failed is not None)
    assert (view.run, view.workers, view.parallelism) == ("1", 4, 2)


def test_jobs_come_newest_first() -> None:
    older = job()
    older["metadata"] = {**older["metadata"], "creationTimestamp": "2026-11-20T08:00:00Z"}
    children = {
        Ref("Job", "n", "old"): {**older, "metadata": {**older["metadata"], "name": "old"}},
        Ref("Job", "n", "history-1"): job(),
        Ref("ConfigMap", "n", "history-1"): {"metadata": {}},
    }
    assert [view.name for view in parse_jobs(children)] == ["history-1", "old"]
