from feedplane_feeder.core.chunks import DAY_NS, Chunk
from feedplane_feeder.core.history import ArchiveFile, HistoryRow
from feedplane_feeder.core.missing import Hole
from feedplane_feeder.core.parts import (
    Found,
    Part,
    holes_of,
    is_whole,
    neighbours,
    note_rows,
    overlap_ns,
    split_rows,
)

DAY_US = DAY_NS // 1000


def part(day: int, channel: str = "trade") -> Part:
    return Part(
        Chunk(
            number=day,
            symbol="BTCUSDT",
            instrument_id="BTCUSDT.V",
            channel=channel,
            start_ns=day * DAY_NS,
            end_ns=(day + 1) * DAY_NS,
        )
    )


def trade(at_us: int, number: int) -> HistoryRow:
    return (at_us, number, "1", "1", "B", "1.0", "2.0")


def test_rows_are_split_by_the_day_they_fall_into() -> None:
    days = [part(0), part(1)]
    rows = [trade(DAY_US - 1, 1), trade(DAY_US, 2), trade(2 * DAY_US, 3)]
    assert split_rows(rows, days) == [(days[0], rows[:1]), (days[1], rows[1:2])]
    assert split_rows(rows, days, inclusive_end=True)[1] == (days[1], rows[1:])
    assert split_rows([], days) == []
    assert split_rows(rows[:1], days) == [(days[0], rows[:1])]


def test_rows_in_disorder_are_sorted_before_the_split() -> None:
    day = part(0)
    rows = [trade(9, 2), trade(5, 1)]
    assert split_rows(rows, [day]) == [(day, [rows[1], rows[0]])]


def test_numbers_of_following_blocks_make_one_run() -> None:
    found = Found()
    note_rows(found, "trade", [trade(1, 5), trade(2, 6)])
    note_rows(found, "trade", [trade(3, 7), trade(4, 9)])
    assert (found.rows, found.runs) == (4, [(5, 7), (9, 9)])
    note_rows(found, "bar-1m", [trade(3, 7)])
    assert found.rows == 5


def test_hole_is_counted_to_the_day_before_it() -> None:
    days = [part(0), part(1)]
    days[0].runs, days[1].runs = [(10, 14), (17, 19)], [(22, 30)]
    placed = holes_of(days, 8, 33)
    assert placed == [
        (days[0], Hole(8, 9)),
        (days[0], Hole(15, 16)),
        (days[0], Hole(20, 21)),
        (days[1], Hole(31, 32)),
    ]


def test_hole_of_an_empty_day_is_found_by_its_ends() -> None:
    days = [part(0)]
    assert holes_of(days, 8, 12) == [(days[0], Hole(8, 11))]
    assert holes_of(days, 8, None) == []
    assert holes_of(days, 8, 8) == []


def test_part_is_whole_when_covered_with_rows_enough() -> None:
    day = part(0, "bar-1h")
    day.rows = 24
    assert not is_whole(day)
    file = ArchiveFile(path="x", start_ns=0, end_ns=31 * DAY_NS)
    day.covered_ns += overlap_ns(file, day.chunk)
    assert is_whole(day)
    day.rows = 23
    assert not is_whole(day)


def test_parts_with_a_day_between_them_are_no_neighbours() -> None:
    days = [part(0), part(1), part(3)]
    assert neighbours(days) == [days[:2], days[2:]]
    assert neighbours([]) == []


def test_part_begun_again_forgets_files_and_keeps_what_was_written() -> None:
    day = part(0)
    day.failed("BadZip", "torn", retry=True)
    day.rows, day.covered_ns, day.runs = 3, 5, [(1, 2)]
    day.came_from("Archive")
    day.came_from("Archive")
    day.begin()
    assert (day.rows, day.covered_ns, day.runs, day.sources) == (0, 0, [], ["Archive"])
    day.settle()
    assert (day.settled, day.retry, day.reason) == (True, False, "BadZip")
