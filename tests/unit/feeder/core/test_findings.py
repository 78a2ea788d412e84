from feedplane_feeder.adapters.binance_history import SPOT_HISTORY
from feedplane_feeder.core.findings import Findings
from feedplane_feeder.core.history import HistoryRow
from feedplane_feeder.core.repair import Ask
from feedplane_feeder.records import Bar, Gap, Metric, Trade

NOW = 1_800_000_000_000_000_000
MINUTE_US = 60_000_000
START_US = NOW // 1_000 - 100 * MINUTE_US


def trade(number: int, at_us: int = START_US) -> HistoryRow:
    return (at_us, number, "1", "2", "B", "1.50", "3")


def bar(minute: int, *, length_us: int = MINUTE_US) -> HistoryRow:
    opened = START_US + minute * MINUTE_US
    return (opened, "1", "2", "0.5", "1.5", "7", "8", "9", "3", "4", opened + length_us - 1)


def ids(first: int, last: int) -> Gap:
    return Gap("A.VENUE", "trade", "sequence", NOW, from_id=first, to_id=last)


def minutes(first: int, last: int) -> Gap:
    start = START_US * 1_000
    times = (start + first * 60_000_000_000, start + last * 60_000_000_000)
    return Gap("A.VENUE", "bar-1m", "stale", NOW, from_ts=times[0], to_ts=times[1])


def test_missing_trades_alone_are_kept_and_each_gap_judged() -> None:
    findings = Findings(Ask(gaps=(ids(2, 3), ids(6, 6)), weight=4), "venue")
    findings.take([trade(number) for number in (1, 2, 3, 4, 5, 7)], [], NOW)
    assert [record.trade_id for record in findings.records if isinstance(record, Trade)] == [2, 3]
    first, second = findings.judge(lambda _: True)
    assert [piece.filled_by for piece in first.pieces] == ["rest"]
    assert [piece.reason for piece in second.pieces] == ["venue"]


def test_row_that_cannot_be_read_proves_nothing_lacking() -> None:
    findings = Findings(Ask(gaps=(ids(2, 2),), weight=4), "venue")
    findings.take([trade(1), trade(3)], [("NegativePrice", "raw")], NOW)
    (repaired,) = findings.judge(lambda _: True)
    assert repaired.unchanged
    (quarantined,) = findings.batch(()).quarantined
    assert (quarantined.venue, quarantined.reason, quarantined.raw) == (
        "venue",
        "NegativePrice",
        "raw",
    )


def test_batch_is_taken_once_and_may_be_known() -> None:
    findings = Findings(Ask(gaps=(ids(1, 2),), weight=4), "venue")
    findings.take([trade(1)], [], NOW)
    first, second = findings.batch(()), findings.batch(findings.judge(lambda _: False))
    assert (len(first.records), first.replayed) == (1, True)
    assert (list(second.records), len(second.repaired)) == ([], 1)


def test_bar_that_is_still_open_is_left_for_later() -> None:
    findings = Findings(Ask(gaps=(minutes(1, 2),), weight=2), "venue")
    findings.take([bar(0), bar(1), bar(2, length_us=200 * MINUTE_US)], [], NOW)
    (kept,) = findings.records
    assert isinstance(kept, Bar)
    assert (kept.final, kept.ts_open, kept.trade_count) == (
        True,
        (START_US + MINUTE_US) * 1_000,
        9,
    )
    (repaired,) = findings.judge(lambda _: True)
    assert [piece.filled_by for piece in repaired.pieces] == ["rest", None]


def test_bar_behind_the_gap_may_be_open_and_proves_its_end() -> None:
    findings = Findings(Ask(gaps=(minutes(1, 1),), weight=2), "venue")
    findings.take([bar(0), bar(2, length_us=200 * MINUTE_US)], [], NOW)
    (repaired,) = findings.judge(lambda _: True)
    assert [piece.reason for piece in repaired.pieces] == ["venue"]


def test_rows_by_time_are_those_inside_and_fill_the_gap() -> None:
    at = START_US * 1_000
    gap = Gap("A.VENUE", "metric", "stale", NOW, from_ts=at, to_ts=at + 2_000)
    findings = Findings(Ask(gaps=(gap,), weight=1), "venue")
    findings.take([(START_US + step, "open_interest", "5") for step in range(5)], [], NOW)
    assert [type(record) for record in findings.records] == [Metric] * 3
    (repaired,) = findings.judge(lambda _: False)
    assert (repaired.settled, repaired.pieces[0].rows) == (True, 3)


def test_rows_of_a_page_become_records_of_the_tape() -> None:
    page = SPOT_HISTORY.id_page("BTCUSDT", 5, 5)
    body = b'[{"a":5,"p":"1.50","q":"2","f":7,"l":8,"T":1760000040000,"m":true}]'
    findings = Findings(Ask(gaps=(ids(5, 5),), weight=4), "venue")
    findings.take(SPOT_HISTORY.parse_page(page, body).rows, [], NOW)
    assert findings.records == [
        Trade("A.VENUE", 1_760_000_040_000_000_000, NOW, 5, "1.50", "2", "S", 7, 8)
    ]
