from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.lease import (
    Candidate,
    CandidateLine,
    LeaseRecord,
    acquired_record,
    parse_line,
    released_record,
    render_line,
    renewed_record,
    with_line,
)

ME = Candidate(account="main", pod="pod-1")
OTHER = LeaseRecord(holder="spare/pod-9", transitions=3, duration_seconds=6, renew_time="t0")


def test_acquired_lease_names_the_holder_and_forgets_the_successor() -> None:
    offered = replace(OTHER, holder="", successor="main")
    assert acquired_record(offered, ME, epoch=4, reason="LeaseExpired", at="t1") == LeaseRecord(
        holder="main/pod-1",
        transitions=4,
        duration_seconds=6,
        acquire_time="t1",
        renew_time="t1",
        reason="LeaseExpired",
    )


def test_renewed_lease_keeps_its_epoch_and_reason() -> None:
    record = acquired_record(LeaseRecord(), ME, epoch=1, reason="Vacant", at="t1")
    assert renewed_record(record, ME, at="t2") == replace(record, renew_time="t2")


def test_released_lease_names_its_successor() -> None:
    held = acquired_record(LeaseRecord(), ME, epoch=1, reason="Vacant", at="t1")
    released = released_record(held, successor="spare", reason="Shutdown", at="t2")
    assert (released.holder, released.account, released.duration_seconds) == ("", "", 1.0)
    assert (released.successor, released.reason, released.transitions) == ("spare", "Shutdown", 1)


def test_lines_stand_once_per_account_in_order() -> None:
    spare = CandidateLine(account="spare", pod="p", healthy=True, n=1)
    main = CandidateLine(account="main", pod="p", healthy=True, n=1)
    record = with_line(with_line(with_line(LeaseRecord(), spare), main), replace(spare, n=2))
    assert record.candidates == (main, replace(spare, n=2))


def test_same_holding_looks_past_the_candidates() -> None:
    line = CandidateLine(account="main", pod="p", healthy=True)
    assert OTHER.same_holding(with_line(OTHER, line))
    assert not OTHER.same_holding(replace(OTHER, renew_time="t1"))


LINES = st.builds(
    CandidateLine,
    account=st.just("main"),
    pod=st.text(max_size=5),
    healthy=st.booleans(),
    reason=st.text(max_size=5),
    n=st.integers(0, 10**9),
    asks=st.sampled_from([None, "Failback"]),
)


@given(LINES)
def test_line_written_and_read_is_the_same(line: CandidateLine) -> None:
    assert parse_line("main", render_line(line)) == line


@pytest.mark.parametrize("text", ["", "[]", "1", "{"], ids=["empty", "list", "number", "broken"])
def test_line_that_is_none_is_left_out(text: str) -> None:
    assert parse_line("main", text) is None


def test_line_of_a_strange_hand_is_never_healthy_by_accident() -> None:
    line = parse_line("main", '{"healthy":"yes","n":"x","asks":4}')
    assert line == CandidateLine(account="main", pod="", healthy=False)
