"""Trades whose ids are no run, from the tape to what follows it."""

from feedplane_feeder.core.ports import Batch, Channel, Watermark
from feedplane_feeder.core.restart import SeenChannels, restart_gap
from feedplane_feeder.core.spill import Losses
from feedplane_feeder.core.takeover import split_known
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.core.tracks import RECENT_TRADES
from feedplane_feeder.records import GapCause, Trade, is_numbered

ID = "AAPL.VENUE"
TRADE = Channel("AAPL", "trade")


def trade(number: int, at: int) -> Trade:
    return Trade(ID, at, 5, -number, "1", "1", "N")


def test_trades_below_zero_are_not_numbered() -> None:
    assert not is_numbered(trade(1, 1))
    assert is_numbered(Trade(ID, 1, 5, 0, "1", "1", "N"))


def test_loose_ids_may_jump_without_a_gap() -> None:
    tape = Tape("venue")
    taken = tape.take([trade(900, 10), trade(7, 20), trade(5_000, 20)], 30)
    taken.gaps += tape.sweep(10**12).gaps
    assert (len(taken.records), taken.gaps, taken.counts) == (3, [], {"trade": 3})
    assert tape.last_recv(TRADE, ID) == 30


def test_loose_copies_and_late_trades_are_counted() -> None:
    tape = Tape("venue")
    taken = tape.take([trade(1, 10), trade(2, 20), trade(1, 10), trade(3, 15)], 30)
    assert [record.ts_event for record in taken.records] == [10, 20, 15]
    assert (taken.duplicates, taken.out_of_order) == ({"trade": 1}, {"trade": 1})


def test_loose_copies_are_known_for_a_bounded_while() -> None:
    tape = Tape("venue")
    tape.take([trade(number, number) for number in range(1, RECENT_TRADES + 2)], 30)
    taken = tape.take([trade(2, 2), trade(1, 1)], 30)
    assert [record.ts_event for record in taken.records] == [1]


def test_interruption_of_loose_trades_becomes_a_gap_in_time() -> None:
    tape = Tape("venue")
    tape.take([trade(1, 10)], 30)
    tape.interrupt(TRADE, ID, GapCause.DISCONNECT, 40)
    (gap,) = tape.take([trade(9, 50)], 60).gaps
    assert (gap.channel, gap.cause, gap.from_ts, gap.to_ts) == ("trade", "disconnect", 10, 50)
    assert gap.from_id is None


def test_loose_trades_are_vouched_for_since_the_last_doubt_only() -> None:
    tape = Tape("venue")
    tape.take([trade(1, 10), trade(2, 20)], 30)
    assert tape.span(ID, "trade") == (10, 20)
    tape.interrupt(TRADE, ID, GapCause.DISCONNECT, 40)
    tape.take([trade(9, 50), trade(10, 60)], 60)
    assert tape.span(ID, "trade") == (50, 60)


def test_forgotten_loose_channel_starts_anew() -> None:
    tape = Tape("venue")
    tape.take([trade(1, 10)], 30)
    tape.forget(TRADE, ID, 40)
    assert tape.last_recv(TRADE, ID) == 0
    assert tape.take([trade(1, 10)], 50).duplicates == {}


def test_restart_names_the_time_between_loose_trades() -> None:
    gap = restart_gap(Watermark(sequence=-8, ts_event=100), trade(3, 150), 200)
    assert gap is not None
    assert (gap.from_ts, gap.to_ts, gap.from_id) == (100, 150, None)
    assert restart_gap(Watermark(sequence=-8, ts_event=100), trade(3, 100), 200) is None


def test_first_of_loose_trades_is_the_earliest() -> None:
    records = [trade(1, 30), trade(2, 20)]
    assert list(SeenChannels().first_records(records).values()) == [records[1]]


def test_loose_trades_are_known_by_their_time() -> None:
    held = {(ID, "trade"): Watermark(sequence=-8, ts_event=100)}
    batch, known = split_known(Batch(records=[trade(1, 90), trade(2, 110)]), held)
    assert ([r.ts_event for r in batch.records], [r.ts_event for r in known]) == ([110], [90])


def test_lost_loose_trades_become_a_gap_in_time() -> None:
    losses = Losses()
    losses.add(Batch(records=[trade(5, 90), trade(2, 110)]))
    (gap,) = losses.take(200).gaps
    assert (gap.from_id, gap.from_ts, gap.to_ts) == (None, 90, 110)
