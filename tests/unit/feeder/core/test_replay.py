import pytest
from support_sinks import make_delta, make_quote, make_trade

from feedplane_api.worker import CandidateReport, ElectionReport
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.core.replay import RECORD_BYTES, ReplayBuffer, holder_fails
from feedplane_feeder.records import Gap

SECOND = 1_000_000_000


def trades(start: int, count: int) -> Batch:
    return Batch(records=[make_trade(number) for number in range(start, start + count)])


def test_buffer_gives_back_whole_batches_in_order() -> None:
    buffer = ReplayBuffer(30)
    gap = Gap(instrument_id="X.Y", channel="trade", cause="sequence", detected_at=1)
    batches = [trades(1, 2), Batch(gaps=[gap]), trades(3, 1)]
    for at, batch in enumerate(batches):
        buffer.add(batch, at * SECOND)
    assert (buffer.records, buffer.age_seconds(5 * SECOND)) == (3, 5)
    assert buffer.take() == (batches, {})
    assert (len(buffer), buffer.records, buffer.age_seconds(9 * SECOND)) == (0, 0, 0)


def test_buffer_forgets_what_is_too_old_without_counting_it() -> None:
    buffer = ReplayBuffer(30)
    buffer.add(trades(1, 2), 0)
    buffer.add(trades(3, 2), 31 * SECOND)
    assert buffer.records == 2
    assert buffer.dropped_records == 0


def test_buffer_keeps_everything_while_the_holder_is_gone() -> None:
    buffer = ReplayBuffer(30)
    buffer.add(trades(1, 2), 0)
    buffer.keep = True
    buffer.prune(500 * SECOND)
    assert buffer.records == 2
    buffer.keep = False
    buffer.prune(500 * SECOND)
    assert buffer.records == 0


def test_buffer_drops_the_oldest_past_its_bound_and_counts_them() -> None:
    buffer = ReplayBuffer(30, bound_bytes=5 * RECORD_BYTES)
    buffer.keep = True
    for start in (1, 3, 5):
        buffer.add(trades(start, 2), start)
    assert (buffer.records, buffer.dropped_records) == (4, 2)
    assert buffer.take()[0][0].records == trades(3, 2).records


def test_buffer_counts_the_size_of_book_levels() -> None:
    buffer = ReplayBuffer(30, bound_bytes=2 * RECORD_BYTES)
    buffer.add(Batch(records=[make_delta(1, 2)]), 1)
    buffer.add(Batch(records=[make_delta(3, 4)]), 2)
    assert buffer.dropped_records == 1


def test_buffer_remembers_the_quote_before_the_first_one_held() -> None:
    buffer = ReplayBuffer(30)
    buffer.behind = {"X.Y": 5}
    buffer.add(Batch(records=[make_quote(7), make_trade(1)]), 0)
    buffer.add(Batch(records=[make_quote(9)]), 40 * SECOND)
    batches, behind = buffer.take()
    assert [batch.records for batch in batches] == [[make_quote(9)]]
    assert behind == {"X.Y": 5, make_quote(7).instrument_id: 7}
    assert buffer.behind == {}


GOOD = CandidateReport(account="first", healthy=True, fresh=True)


@pytest.mark.parametrize(
    ("report", "peers", "fails"),
    [
        (ElectionReport(active=True), (), False),
        (ElectionReport(), (), True),
        (ElectionReport(holder="first"), (), False),
        (ElectionReport(holder="first"), (GOOD,), False),
        (ElectionReport(holder="first", api_reachable=False), (GOOD,), True),
        (ElectionReport(holder="first"), (GOOD.model_copy(update={"fresh": False}),), True),
        (ElectionReport(holder="first"), (GOOD.model_copy(update={"healthy": False}),), True),
        (ElectionReport(holder="second"), (GOOD.model_copy(update={"fresh": False}),), False),
    ],
    ids=[
        "active itself",
        "nobody holds",
        "holder says nothing of itself",
        "holder is well",
        "nobody can know",
        "holder went silent",
        "holder is unwell",
        "somebody else went silent",
    ],
)
def test_holder_fails_when_it_is_gone_or_unwell(
    report: ElectionReport, peers: tuple[CandidateReport, ...], fails: bool
) -> None:
    assert holder_fails(report, peers) is fails
