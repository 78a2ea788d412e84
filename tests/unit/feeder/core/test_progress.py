from dataclasses import replace

from feedplane_feeder.core.chunks import DAY_NS, Chunk
from feedplane_feeder.core.ports import Written
from feedplane_feeder.core.progress import ChunkResult, ChunkState, Progress

SECOND_NS = 10**9
CHUNK = Chunk(
    number=0, symbol="B", instrument_id="B.V", channel="bar-1m", start_ns=0, end_ns=DAY_NS
)
DONE = ChunkResult(
    chunk=CHUNK,
    state=ChunkState.DONE,
    source="Archive",
    written=Written(new=1_440),
    rows_held=1_440,
    rows_expected=1_440,
)


def test_rate_and_time_left_follow_from_what_ended() -> None:
    progress = Progress(0, chunks_total=10)
    for second in range(1, 6):
        progress.add(DONE, second * SECOND_NS)
    assert progress.percent == 50
    assert progress.rows_per_second(5 * SECOND_NS) == 1_440
    assert progress.seconds_left(5 * SECOND_NS) == 5


def test_rate_is_that_of_late() -> None:
    progress = Progress(0, chunks_total=1_000)
    for second in range(1, 101):
        progress.add(DONE if second > 60 else replace(DONE, written=Written()), second * SECOND_NS)
    assert 1_300 < progress.rows_per_second(100 * SECOND_NS) <= 1_440


def test_chunks_there_already_do_not_make_the_rest_look_quick() -> None:
    progress = Progress(0, chunks_total=3)
    progress.add(replace(DONE, source="Held", written=Written()), SECOND_NS)
    assert progress.seconds_left(SECOND_NS) is None
    assert (progress.chunks_done, progress.chunks_present, progress.percent) == (1, 1, 33)


def test_failed_chunks_and_missing_rows_are_counted() -> None:
    progress = Progress(0, chunks_total=2)
    failed = replace(DONE, state=ChunkState.FAILED, written=Written(), rows_held=0, reason="BadZip")
    progress.add(failed, SECOND_NS)
    progress.add(replace(DONE, rows_held=1_400), SECOND_NS)
    assert progress.failed == [failed]
    assert (progress.chunks_failed, progress.rows_missing) == (1, 1_440 + 40)
    assert progress.seconds_left(SECOND_NS) == 0


def test_run_without_chunks_is_complete() -> None:
    progress = Progress(0)
    assert (progress.percent, progress.seconds_left(0), progress.rows_per_second(0)) == (100, 0, 0)


def test_worker_is_settled_once_every_chunk_has_ended() -> None:
    progress = Progress(0, chunks_total=2)
    progress.add(DONE, SECOND_NS)
    assert not progress.settled
    progress.add(replace(DONE, state=ChunkState.FAILED), SECOND_NS)
    assert progress.settled
