from datetime import timedelta
from typing import Any

import pytest
from support_plans import NOW
from support_resources import feeder_status

from feedplane_api.conditions import ConditionStatus
from feedplane_api.feed_source import AccountStatus, FailoverStatus, FeedSourceStatus
from feedplane_api.worker import ElectionReport, SessionState
from feedplane_operator.core.failover import note_failover, record_failover
from feedplane_operator.core.picture import Active
from feedplane_operator.events import EventReason

RECORD = FailoverStatus(epoch=3, active="a", since_time=NOW, reason="Vacant", count=1)


def _accounts(*names: str) -> tuple[AccountStatus, ...]:
    return tuple(
        AccountStatus(name=name, session=SessionState.STREAMING, healthy=ConditionStatus.TRUE)
        for name in names
    )


def _status(publishes: str | None = "a", /, **record: Any) -> FeedSourceStatus:
    return FeedSourceStatus(
        active_account=publishes,
        failover=RECORD.model_copy(update=record),
        accounts=_accounts("a", "b"),
    )


def _active(account: str | None = "b", **changes: Any) -> Active:
    later = NOW + timedelta(seconds=40)
    fields: dict[str, Any] = {"epoch": 4, "since": later, "reason": "SessionLost", **changes}
    return Active(account=account, **fields)


def test_first_holder_is_recorded_and_no_failover() -> None:
    record = record_failover(FeedSourceStatus(), _active("a", epoch=1, since=NOW), ())
    assert (record.active, record.epoch, record.count) == ("a", 1, 0)
    assert note_failover(FeedSourceStatus(), FeedSourceStatus(failover=record), "Vacant") == ()


def test_change_of_hands_is_recorded_with_its_reason() -> None:
    record = record_failover(_status(), _active(), ())
    assert record == FailoverStatus(
        epoch=4,
        active="b",
        since_time=NOW + timedelta(seconds=40),
        reason="SessionLost",
        count=2,
    )
    after = _status("b").model_copy(update={"failover": record})
    assert record_failover(after, _active(), ()) == record


def test_holder_that_takes_its_own_lease_again_is_no_failover() -> None:
    record = record_failover(_status(last_duration_milliseconds=7), _active("a"), ())
    assert (record.epoch, record.count, record.last_duration_milliseconds) == (4, 1, 7)


@pytest.mark.parametrize(
    "active",
    [
        pytest.param(_active(epoch=2, since=NOW - timedelta(minutes=1)), id="an older Lease"),
        pytest.param(_active(epoch=3, since=NOW), id="the same decision said otherwise"),
        pytest.param(_active(epoch=3, since=None), id="a Lease without a time"),
        pytest.param(_active(None, epoch=9), id="nobody publishes now"),
    ],
)
def test_record_is_never_reverted(active: Active) -> None:
    assert record_failover(_status(), active, ()) == RECORD


def test_lease_made_anew_counts_though_it_begins_from_one() -> None:
    record = record_failover(_status(), _active(epoch=1), ())
    assert (record.epoch, record.active, record.count) == (3, "b", 2)


def test_duration_is_taken_over_once_it_is_measured() -> None:
    measured = [
        feeder_status(election=ElectionReport(active=True, last_failover_milliseconds=duration))
        for duration in (None, 700, 900)
    ]
    # On the change itself the report may still be about the one before.
    assert record_failover(_status(), _active(), measured).last_duration_milliseconds is None
    record = record_failover(_status(), _active("a", epoch=3, since=NOW), measured)
    assert record.last_duration_milliseconds == 900
    assert record_failover(_status(), _active("a", epoch=3, since=NOW), measured[:1]) == RECORD
    known = _status(last_duration_milliseconds=5)
    kept = record_failover(known, _active("a", epoch=3, since=NOW), measured)
    assert kept.last_duration_milliseconds == 5
    never = record_failover(_status(count=0), _active("a", epoch=3, since=NOW), measured)
    assert never.last_duration_milliseconds is None


STARTED, COMPLETED = EventReason.FAILOVER_STARTED, EventReason.FAILOVER_COMPLETED


@pytest.mark.parametrize(
    ("before", "after", "reason", "expected"),
    [
        pytest.param(
            _status("a"),
            _status("b", active="b", reason="SessionLost"),
            "SessionLost",
            [STARTED, COMPLETED],
            id="failover seen at once",
        ),
        pytest.param(_status("a"), _status(None), "", [STARTED], id="silent"),
        pytest.param(_status("a"), _status(None), "Shutdown", [], id="let go in good order"),
        pytest.param(_status(None), _status(None), "", [], id="still silent"),
        pytest.param(
            _status(None),
            _status("b", active="b", reason="LeaseExpired"),
            "LeaseExpired",
            [COMPLETED],
            id="failover seen in two steps",
        ),
        pytest.param(_status(None), _status("a"), "Resumed", [], id="the same one again"),
        pytest.param(
            _status("b", active="b"),
            _status("a", reason="Failback"),
            "Failback",
            [EventReason.FAILBACK_COMPLETED],
            id="failback",
        ),
        *(
            pytest.param(
                _status("a"),
                _status("b", active="b", reason=reason),
                reason,
                [EventReason.SWITCHOVER_COMPLETED],
                id=reason,
            )
            for reason in ("SwitchoverRequested", "Maintenance", "Shutdown")
        ),
        pytest.param(FeedSourceStatus(), _status("a"), "", [], id="nothing before"),
        pytest.param(_status("a"), FeedSourceStatus(), "", [], id="nothing after"),
    ],
)
def test_change_of_record_is_told_once(
    before: FeedSourceStatus,
    after: FeedSourceStatus,
    reason: str,
    expected: list[EventReason],
) -> None:
    notes = note_failover(before, after, reason)
    assert [note.reason for note in notes] == expected
    assert [note.warning for note in notes] == [note.reason is STARTED for note in notes]


def test_feed_of_one_account_has_no_failover() -> None:
    before, after = (
        _status(name).model_copy(update={"accounts": _accounts("a")}) for name in ("a", None)
    )
    assert note_failover(before, after, "") == ()
