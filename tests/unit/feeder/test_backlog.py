"""The backlog: memory, disk and losses, always in order."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_sinks import START_NS, make_trade

from feedplane_api.worker import BufferConfig
from feedplane_feeder.backlog import Backlog
from feedplane_feeder.core.ports import Batch, Takeover
from feedplane_feeder.records import Trade

BOUND = 100


def trades(start: int, count: int) -> Batch:
    return Batch(records=[make_trade(number) for number in range(start, start + count)])


def ids(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [record.trade_id for record in batch.records if isinstance(record, Trade)]


def make_backlog(folder: Path | None, mebibytes: int = 1) -> Backlog:
    backlog = Backlog(
        BufferConfig(
            queue_records=BOUND,
            spill_path=str(folder) if folder else None,
            spill_mebibytes=mebibytes,
        ),
        "memory",
    )
    backlog.open()
    return backlog


def test_backlog_is_full_only_for_a_sink_that_is_there() -> None:
    backlog = make_backlog(None)
    backlog.offer(trades(0, BOUND), START_NS, connected=True)
    assert backlog.full(connected=True)
    assert not backlog.full(connected=False)


def test_what_a_standby_remembered_fits_whatever_waits() -> None:
    backlog = make_backlog(None)
    takeover = Takeover(at_ns=START_NS, cause="promotion")
    backlog.offer(trades(0, BOUND), START_NS, connected=False)
    backlog.offer(replace(trades(BOUND, 900), takeover=takeover), START_NS, connected=False)
    assert backlog.queued_records == 1_000
    assert ids(backlog.next(1_000, START_NS)) == list(range(BOUND))
    backlog.done()
    assert not backlog.full(connected=True)
    backlog.offer(trades(1_000, BOUND), START_NS, connected=False)
    assert backlog.full(connected=True)
    assert ids(backlog.next(1_000, START_NS)) == list(range(BOUND, 1_000 + BOUND))
    assert not backlog.losses


def test_backlog_without_disk_names_what_it_drops() -> None:
    backlog = make_backlog(None)
    for start in range(0, 300, 50):
        backlog.offer(trades(start, 50), START_NS, connected=False)
    assert backlog.queued_records == BOUND
    assert ids(backlog.next(1000, START_NS)) == list(range(100))
    backlog.done()
    backlog.offer(trades(300, 1), START_NS, connected=False)
    batch = backlog.next(1000, START_NS)
    assert batch is not None
    assert [(gap.from_id, gap.to_id, gap.cause) for gap in batch.gaps] == [(100, 299, "spill")]
    assert ids(batch) == [300]
    assert backlog.losses.lost_count == 200


def test_backlog_names_losses_when_nothing_follows() -> None:
    backlog = make_backlog(None)
    backlog.offer(trades(0, BOUND), START_NS, connected=False)
    backlog.offer(trades(BOUND, 7), START_NS, connected=False)
    backlog.next(1000, START_NS)
    backlog.done()
    assert backlog.replaying
    batch = backlog.next(1000, START_NS)
    assert batch is not None
    assert [(gap.from_id, gap.to_id) for gap in batch.gaps] == [(100, 106)]
    backlog.done()
    assert backlog.empty


def test_backlog_takes_one_large_batch_into_memory() -> None:
    backlog = make_backlog(None)
    backlog.offer(trades(0, 5 * BOUND), START_NS, connected=False)
    assert backlog.losses.lost_count == 0


def test_read_under_way_is_kept_for_a_sink_that_is_there() -> None:
    backlog = make_backlog(None)
    backlog.offer(trades(0, BOUND), START_NS, connected=True)
    assert backlog.full(connected=True)
    backlog.offer(trades(BOUND, 5 * BOUND), START_NS, connected=True)
    assert not backlog.losses
    # A reader that goes on all the same is not followed for ever.
    backlog.offer(trades(6 * BOUND, 1), START_NS, connected=True)
    assert backlog.losses.lost_count == 1


def test_backlog_saved_and_killed_is_replayed_first(tmp_path: Path) -> None:
    backlog = make_backlog(tmp_path)
    for start in range(0, 300, 50):
        backlog.offer(trades(start, 50), START_NS, connected=False)
    assert ids(backlog.next(1000, START_NS)) == list(range(100))
    backlog.offer(trades(300, 50), START_NS, connected=False)
    assert backlog.save()
    backlog.close()

    successor = make_backlog(tmp_path)
    successor.offer(trades(350, 10), START_NS, connected=True)
    found: list[int] = []
    continues: list[bool] = []
    while not successor.empty:
        batch = successor.next(60, START_NS)
        assert batch is not None
        assert batch.replayed == successor.left_over
        found += ids(batch)
        continues.append(successor.done())
    assert found == list(range(360))
    assert continues == [True] * (len(continues) - 2) + [False, True]
    successor.close()


def test_backlog_saved_beside_left_overs_stays_behind_them(tmp_path: Path) -> None:
    first = make_backlog(tmp_path)
    first.offer(trades(0, 10), START_NS, connected=False)
    assert first.save()
    first.close()
    second = make_backlog(tmp_path)
    second.offer(trades(10, 10), START_NS, connected=False)
    assert second.save()
    second.close()
    third = make_backlog(tmp_path)
    found: list[int] = []
    while not third.empty:
        found += ids(third.next(1000, START_NS))
        third.done()
    third.close()
    assert found == list(range(20))


def test_backlog_without_disk_cannot_save() -> None:
    backlog = make_backlog(None)
    assert backlog.save()
    backlog.offer(trades(0, 1), START_NS, connected=False)
    assert not backlog.save()


def test_backlog_slow_sink_spills_when_asked(tmp_path: Path) -> None:
    backlog = make_backlog(tmp_path)
    backlog.offer(trades(0, BOUND), START_NS, connected=True)
    backlog.start_spilling()
    backlog.offer(trades(BOUND, 1), START_NS, connected=True)
    assert backlog.spilled_bytes > 0
    assert not backlog.full(connected=True)
    backlog.close()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.integers(1, 80), st.booleans()),
            st.tuples(st.just("write"), st.integers(1, 200), st.booleans()),
            st.tuples(st.just("slow"), st.just(0), st.just(True)),
        ),
        max_size=60,
    ),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_backlog_order_and_names_hold_in_any_schedule(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, bool]], on_disk: bool
) -> None:
    folder = tmp_path_factory.mktemp("spill") if on_disk else None
    backlog = make_backlog(folder)
    offered = 0
    got: list[int] = []
    named: set[int] = set()

    def write(limit: int) -> None:
        batch = backlog.next(limit, START_NS)
        if batch is None:
            return
        got.extend(ids(batch))
        for gap in batch.gaps:
            assert gap.from_id is not None
            assert gap.to_id is not None
            named.update(range(gap.from_id, gap.to_id + 1))
        backlog.done()

    for step, count, connected in steps:
        if step == "offer":
            backlog.offer(trades(offered, count), START_NS, connected=connected)
            offered += count
        elif step == "slow":
            backlog.start_spilling()
        else:
            write(count)
    while not backlog.empty:
        write(100)
    backlog.close()
    assert got == sorted(got)
    assert sorted([*got, *named]) == list(range(offered))
    assert not (named and on_disk)
    assert backlog.queued_records == 0
