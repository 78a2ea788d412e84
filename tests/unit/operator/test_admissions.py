from typing import Any

from feedplane_operator.admissions import Admissions


def backfill(name: str, created: str = "2026-11-21T08:00:00Z") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", "creationTimestamp": created}}


def test_oldest_is_first_whoever_asked_first() -> None:
    queue = Admissions(4)
    queue.wait(backfill("young", "2026-11-21T09:00:00Z"))
    queue.wait(backfill("old"))
    assert queue.next({}) == ("n", "old")
    assert queue.is_first(backfill("old"))
    assert not queue.is_first(backfill("young", "2026-11-21T09:00:00Z"))
    assert queue.is_first(backfill("oldest", "2026-11-20T09:00:00Z"))


def test_nobody_is_next_while_all_places_are_taken() -> None:
    queue = Admissions(4)
    queue.wait(backfill("a"))
    assert queue.next({("n", "b"): 4}) is None
    queue.start(("n", "c"), 4)
    assert queue.next({}) is None
    queue.started(("n", "c"))
    assert queue.next({}) == ("n", "a")


def test_places_of_a_job_being_written_count_once() -> None:
    queue = Admissions(4)
    queue.start(("n", "a"), 3)
    assert queue.free_workers(("n", "b"), {}) == 1
    assert queue.free_workers(("n", "b"), {("n", "a"): 3}) == 1
    assert queue.free_workers(("n", "a"), {("n", "a"): 3}) == 4


def test_one_that_left_is_not_asked_again() -> None:
    queue = Admissions(4)
    queue.wait(backfill("a"))
    queue.wait(backfill("a"))
    queue.wait(backfill("b"))
    queue.leave(("n", "a"))
    assert queue.next({}) == ("n", "b")
    queue.leave(("n", "nobody"))
    queue.start(("n", "b"), 1)
    assert queue.next({}) is None
