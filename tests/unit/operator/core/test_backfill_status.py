from datetime import timedelta
from typing import Any

from support_plans import NOW
from support_resources import BACKFILL

from feedplane_api.backfill import Backfill, FailedChunk, Outcome, Progress, RunRecord
from feedplane_operator.core.backfill_status import keep_history, say_failed


def record(number: int, outcome: Outcome = Outcome.SUCCEEDED) -> RunRecord:
    moment = NOW - timedelta(days=number)
    return RunRecord(run=str(number), outcome=outcome, start_time=moment, completion_time=moment)


def nightly(**limits: int) -> Backfill:
    spec: Any = {**BACKFILL["spec"], "window": {"lastDays": 1}}  # type: ignore[dict-item]
    spec |= {"schedule": {"cron": "0 1 * * *", **limits}}
    return Backfill.parse({**BACKFILL, "spec": {k: v for k, v in spec.items() if k != "range"}})


def test_history_has_its_limit_for_each_outcome() -> None:
    records = [
        record(1, Outcome.FAILED),
        record(2),
        record(3, Outcome.FAILED),
        *(record(number) for number in range(4, 9)),
    ]
    kept = keep_history(nightly(), records)
    assert [each.run for each in kept] == ["1", "2", "4", "5"]


def test_history_of_no_run_at_all_is_empty() -> None:
    limits = {"succeededHistoryLimit": 0, "failedHistoryLimit": 0}
    assert keep_history(nightly(**limits), [record(1), record(2, Outcome.FAILED)]) == ()


def test_single_run_is_remembered() -> None:
    once = Backfill.parse(BACKFILL)
    assert [each.run for each in keep_history(once, [record(1)])] == ["1"]


def test_failed_chunks_are_named_up_to_three() -> None:
    chunks = [
        FailedChunk(instrument="BTCUSDT", channel="trade", day=f"2026-11-0{day}", reason="NotFound")
        for day in range(1, 6)
    ]
    said = say_failed(Progress(chunks_total=90, chunks_failed=30), chunks)
    assert said.startswith("30 of 90 chunks failed: BTCUSDT trade 2026-11-01 (NotFound), ")
    assert said.endswith("2026-11-03 (NotFound) and 27 more")
    assert say_failed(Progress(chunks_total=9, chunks_failed=1), ()) == "1 of 9 chunks failed"
