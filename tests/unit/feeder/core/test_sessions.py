from datetime import UTC, datetime, timedelta

import pytest

from feedplane_api.market_hours import MarketHours, TradingHours
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.sessions import OPEN, Attendance, Sessions
from feedplane_feeder.records import Gap

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
HOURS = MarketHours(
    since=MONDAY,
    until=MONDAY + timedelta(days=7),
    lines=(
        TradingHours(
            products=("au",),
            openings=(
                "2026-11-23T01:00Z/2026-11-23T03:30Z",
                "2026-11-23T13:00Z/2026-11-23T18:30Z",
            ),
        ),
        TradingHours(
            openings=(
                "2026-11-23T01:30Z/2026-11-23T03:30Z",
                "2026-11-23T05:00Z/2026-11-23T07:00Z",
                "2026-11-24T01:30Z/2026-11-24T03:30Z",
            )
        ),
    ),
)
SESSIONS = Sessions(HOURS)


def at(text: str, day: int = 23) -> int:
    hour, minute, *second = (int(part) for part in text.split(":"))
    moment = datetime(2026, 11, day, hour, minute, second[0] if second else 0, tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000


def clip(start: int, end: int, channel: str = "quote") -> tuple[int | None, int | None] | None:
    gap = Gap(
        instrument_id="600000.XSHG",
        channel=channel,
        cause="restart",
        detected_at=1,
        from_ts=start,
        to_ts=end,
    )
    kept = SESSIONS.clip_gap(gap)
    return (kept.from_ts, kept.to_ts) if kept else None


@pytest.mark.parametrize(
    ("symbol", "now", "opened"),
    [
        pytest.param("600000", at("1:29:59"), None, id="before the open"),
        pytest.param("600000", at("1:30"), at("1:30"), id="at the open"),
        pytest.param("600000", at("3:29:59"), at("1:30"), id="before the break"),
        pytest.param("600000", at("3:30"), None, id="in the break"),
        pytest.param("600000", at("6:00"), at("5:00"), id="after the break"),
        pytest.param("600000", at("13:30"), None, id="in somebody else's night"),
        pytest.param("au2612", at("13:30"), at("13:00"), id="in its night"),
        pytest.param("AU2612C560", at("13:30"), at("13:00"), id="an option, in capitals"),
        pytest.param("600000", at("1:00", 22), OPEN, id="before what is known"),
        pytest.param("600000", at("0:00", 30), OPEN, id="after what is known"),
    ],
)
def test_session_of_an_instrument_is_found(symbol: str, now: int, opened: int | None) -> None:
    assert SESSIONS.opened_ns(now, symbol) == opened


def test_market_without_hours_is_always_open() -> None:
    sessions = Sessions()
    assert sessions.always_open
    assert sessions.opened_ns(at("3:00"), "BTCUSDT") == OPEN
    sessions.adopt(HOURS)
    assert sessions.opened_ns(at("4:00"), "BTCUSDT") is None
    assert not sessions.is_any_open(at("4:00"), ["BTCUSDT", "au2612"])
    assert sessions.is_any_open(at("13:30"), ["BTCUSDT", "au2612"])
    sessions.adopt(None)
    assert sessions.opened_ns(at("4:00"), "BTCUSDT") == OPEN


def test_instrument_that_no_line_names_is_always_open() -> None:
    line = TradingHours(products=("au",), openings=())
    sessions = Sessions(HOURS.model_copy(update={"lines": (line,)}))
    assert sessions.opened_ns(at("4:00"), "rb2612") == OPEN
    assert sessions.opened_ns(at("4:00"), "au2612") is None
    assert sessions.is_any_open(at("4:00"), ["rb2612"])
    gap = Gap(
        instrument_id="rb2612.X", channel="quote", cause="x", detected_at=1, from_ts=1, to_ts=2
    )
    assert sessions.clip_gap(gap) is gap


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        pytest.param(at("2:00"), at("2:01"), (at("2:00"), at("2:01")), id="within a session"),
        pytest.param(at("3:29:30"), at("5:00:10"), None, id="over the break"),
        pytest.param(at("3:31"), at("4:59"), None, id="within the break"),
        pytest.param(at("7:00"), at("1:30:20", 24), None, id="over the night"),
        pytest.param(at("7:00"), at("1:40", 24), (at("1:30", 24), at("1:40", 24)), id="at open"),
        pytest.param(at("6:00"), at("9:00"), (at("6:00"), at("7:00")), id="at the close"),
        pytest.param(at("3:00"), at("6:00"), (at("3:00"), at("6:00")), id="on both sides"),
        pytest.param(at("3:00"), at("5:00:30"), (at("3:00"), at("3:30")), id="before the break"),
        pytest.param(at("3:29:40"), at("3:29:50"), (at("3:29:40"), at("3:29:50")), id="late"),
        pytest.param(at("1:00", 22), at("2:00"), (at("1:00", 22), at("2:00")), id="not known"),
        pytest.param(at("8:00", 24), at("9:00", 24), None, id="after the last session"),
        pytest.param(at("0:10"), at("0:20"), None, id="before the first session"),
    ],
)
def test_gap_in_time_keeps_what_was_open(
    start: int, end: int, kept: tuple[int, int] | None
) -> None:
    assert clip(start, end) == kept


@pytest.mark.parametrize(
    ("channel", "start", "end", "kept"),
    [
        pytest.param("bar-1m", at("3:30"), at("4:59"), None, id="the bars of the break"),
        pytest.param("bar-1m", at("3:29"), at("4:59"), (at("3:29"), at("3:29")), id="the last"),
        pytest.param("bar-1m", at("3:30"), at("5:00"), (at("5:00"), at("5:00")), id="the first"),
        pytest.param("bar-1h", at("3:00"), at("4:00"), (at("3:00"), at("3:00")), id="half a bar"),
        pytest.param("bar-1d", at("0:00"), at("0:00", 24), (at("0:00"), at("0:00", 24)), id="days"),
        pytest.param("bar-1d", at("0:00", 25), at("0:00", 27), None, id="days without trading"),
        pytest.param("bar-1M", at("0:00"), at("0:00", 24), (at("0:00"), at("0:00", 24)), id="M"),
    ],
)
def test_gap_of_bars_keeps_those_that_can_be(
    channel: str, start: int, end: int, kept: tuple[int, int] | None
) -> None:
    assert clip(start, end, channel) == kept


def test_gap_by_numbers_is_what_it_is() -> None:
    gap = Gap(
        instrument_id="600000.XSHG",
        channel="trade",
        cause="x",
        detected_at=1,
        from_id=1,
        to_id=2,
    )
    assert SESSIONS.clip_gap(gap) is gap


@pytest.mark.parametrize(
    ("now", "until"),
    [
        pytest.param(at("0:14:59"), 0, id="just after what is not known"),
        pytest.param(at("0:15"), at("1:25"), id="in the first night that is known"),
        pytest.param(at("1:24:59"), at("1:25"), id="just before the lead"),
        pytest.param(at("1:25"), 0, id="in the lead"),
        pytest.param(at("2:00"), 0, id="in a session"),
        pytest.param(at("3:44:59"), 0, id="just after the close"),
        pytest.param(at("3:45"), at("4:55"), id="in the break"),
        pytest.param(at("4:55"), 0, id="in the lead of the second session"),
        pytest.param(at("8:00"), at("1:25", 24), id="in the night"),
        pytest.param(at("4:00", 24), at("23:55", 29), id="after the last that is known"),
        pytest.param(at("23:55", 29), 0, id="in the lead of what is not known"),
        pytest.param(at("0:00", 30), 0, id="after what is known"),
        pytest.param(at("12:00", 22), 0, id="before what is known"),
    ],
)
def test_rest_lasts_from_after_the_close_to_before_the_open(now: int, until: int) -> None:
    assert SESSIONS.rest_until_ns(now, SESSIONS.group("600000")) == until


def test_break_too_short_for_lead_and_lag_has_no_rest() -> None:
    openings = ("2026-11-23T01:00Z/2026-11-23T02:15Z", "2026-11-23T02:30Z/2026-11-23T03:30Z")
    sessions = Sessions(HOURS.model_copy(update={"lines": (TradingHours(openings=openings),)}))
    minutes = range(60, 210)
    rests = {sessions.rest_until_ns(at("0:00") + m * 60 * 10**9, 0) for m in minutes}
    assert rests == {0}


def test_attendance_rests_only_while_all_of_it_does() -> None:
    gold, stock = Channel("au2612", "trade"), Channel("600000", "trade")
    attendance = Attendance(SESSIONS)

    def rest_until(hour: str, *channels: Channel) -> int:
        attendance.look(channels, at(hour))
        return attendance.rest_until_ns(channels, at(hour))

    assert rest_until("4:00", stock) == at("4:55")
    assert rest_until("4:00", stock, gold) == at("4:55")
    assert rest_until("8:00", gold, stock) == at("12:55")
    assert rest_until("8:00", stock) == at("1:25", 24)
    assert rest_until("7:10", gold, stock) == 0
    assert rest_until("13:30", gold, stock) == 0
    assert rest_until("4:00") == 0


def test_attendance_without_hours_never_rests() -> None:
    channels = [Channel("BTCUSDT", "trade")]
    attendance = Attendance(Sessions())
    attendance.look(channels, at("4:00"))
    assert attendance.rest_until_ns(channels, at("4:00")) == 0
    assert SESSIONS.rest_until_ns(at("4:00"), None) == 0


def test_attendance_tells_what_opened_since() -> None:
    gold, stock = Channel("au2612", "trade"), Channel("600000", "trade")
    attendance = Attendance(SESSIONS)
    assert attendance.look([gold, stock], at("0:59:59")) == []
    assert attendance.opened_ns is None
    assert attendance.look([gold, stock], at("1:00")) == [gold]
    assert attendance.opened_ns == at("1:00")
    assert attendance.trading([gold, stock], at("1:00")) == [gold]
    assert attendance.look([gold, stock], at("1:00:01")) == []
    assert attendance.look([gold, stock], at("1:30")) == [stock]
    assert attendance.opened_ns == at("1:00")


def test_attendance_without_hours_is_open() -> None:
    channels = [Channel("BTCUSDT", "trade")]
    attendance = Attendance(Sessions())
    assert attendance.look(channels, at("4:00")) == []
    assert attendance.opened_ns == OPEN
    assert attendance.trading(channels, at("4:00")) is channels


def test_days_of_a_group_hold_its_openings() -> None:
    group = SESSIONS.group("600000")
    assert group is not None
    hour = 3_600_000_000_000
    days = SESSIONS.days(group)
    midnight = at("0:00")
    assert days.sessions(midnight) == ((hour * 3 // 2, hour * 7 // 2), (hour * 5, hour * 7))
    assert days.sessions(at("0:00", 25)) == ()
    assert SESSIONS.knows(midnight, at("0:00", 30))
    assert not SESSIONS.knows(at("0:00", 22), midnight)
    assert Sessions().knows(0, 1)
    assert Sessions().group("600000") is None


def test_opening_over_midnight_belongs_to_both_days() -> None:
    openings = ("2026-11-23T22:00Z/2026-11-24T02:00Z",)
    line = TradingHours(openings=openings)
    days = Sessions(HOURS.model_copy(update={"lines": (line,)})).days(0)
    hour = 3_600_000_000_000
    assert days.sessions(at("0:00")) == ((22 * hour, 24 * hour),)
    assert days.sessions(at("0:00", 24)) == ((0, 2 * hour),)
