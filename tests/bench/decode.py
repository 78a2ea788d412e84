"""Frame bytes to checked record on one core, and on from there onto the tape.

`feeder-decode` ends with records whose values are checked. `feeder-tape` is the whole way that a
frame goes before a sink sees it: sequences are judged too, and every book is kept. Both are
measured in turns. The collector of cycles is set as the feeder sets it.

uv run python -m tests.bench.decode   (RECORDINGS=DIR for recorded frames)
"""

import gc
import json
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import typer
from tests.bench.corpus import SYMBOLS, VENUE, loop_frames
from tests.bench.results import write_result

from feedplane_feeder.core.ports import Channel, ConnectionPlan, Session
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.registry import find_adapter
from feedplane_feeder.run import tune_collector

COMMAND = "python -m tests.bench.decode"
GOAL = 200_000
TAPE_GOAL = 133_000
"""Half of the mix is depth: what the goals of decoding and of kept books allow together."""
BATCH = 100
"""Frames a read of the socket brings under load."""
CHANNELS = ("trade", "quote", "book", "bar-1m")


def open_session() -> Session:
    """Return a session that wants every channel there are frames of."""
    adapter = find_adapter(VENUE)
    channels = tuple(Channel(symbol, name) for symbol in SYMBOLS for name in CHANNELS)
    plan = ConnectionPlan(key="public-0", url="", channels=channels)
    return adapter.session(plan, adapter.capabilities.limits)


def measure_records(loops: Sequence[Sequence[bytes]]) -> float:
    """Return frames per CPU second to records with checked values."""
    session = open_session()
    record_count = frame_count = 0
    elapsed = 0.0
    for frames in loops:
        gc.collect()
        started = time.process_time()
        for start in range(0, len(frames), BATCH):
            received = session.receive(frames[start : start + BATCH], time.time_ns())
            record_count += len(received.records)
        elapsed += time.process_time() - started
        frame_count += len(frames)
    if record_count != frame_count:
        raise RuntimeError(f"Expected a record of each frame, was {record_count} of {frame_count}")
    return frame_count / elapsed


def measure(loops: Sequence[Sequence[bytes]]) -> tuple[float, int]:
    """Return frames per CPU second, and how many records came out; books are kept throughout.

    The market has moved when a loop begins again, so every loop begins with empty books.
    """
    adapter = find_adapter(VENUE)
    session = open_session()
    tape = Tape(VENUE)
    record_count = frame_count = 0
    elapsed = 0.0
    for frames in loops:
        begin_books(tape, frames)
        gc.collect()
        started = time.process_time()
        for start in range(0, len(frames), BATCH):
            ts_recv = time.time_ns()
            received = session.receive(frames[start : start + BATCH], ts_recv)
            taken = tape.take(received.records, ts_recv)
            record_count += len(taken.records)
        elapsed += time.process_time() - started
        frame_count += len(frames)
        stale = [s for s in SYMBOLS if not is_synchronized(tape, adapter.instrument_id(s))]
        if stale:
            raise RuntimeError(f"Expected every book kept to the last delta, was not: {stale}")
    return frame_count / elapsed, record_count


def begin_books(tape: Tape, frames: Sequence[bytes]) -> None:
    """Give every instrument an empty book on which its first delta follows."""
    adapter = find_adapter(VENUE)
    for symbol in SYMBOLS:
        stream = b'{"stream":"%s@depth' % symbol.lower().encode()
        first = json.loads(next(frame for frame in frames if frame.startswith(stream)))
        body = b'{"lastUpdateId":%d,"bids":[],"asks":[]}' % first["data"]["pu"]
        snapshot = adapter.parse_snapshot(adapter.snapshot_request(symbol), body, 0)
        tape.take_snapshot(snapshot, 0)


def is_synchronized(tape: Tape, instrument_id: str) -> bool:
    """Tell whether a book was kept to the last delta."""
    book = tape.book(instrument_id)
    return book is not None and book.synchronized


def describe(source: str, loops: Sequence[Sequence[bytes]]) -> dict[str, Any]:
    """Return what was measured with, and how."""
    sizes = [len(frame) for frames in loops for frame in frames]
    return {
        "frames": len(sizes),
        "source": source,
        "bytes_per_frame": round(sum(sizes) / len(sizes)),
        "clock": "CPU seconds of the process",
        "value": "median of the rounds",
    }


def main(loops: int = 100, rounds: int = 7) -> None:
    """Measure in rounds and write the medians."""
    source, looped = loop_frames(loops)
    tune_collector()
    decoded, taped, records = [], [], 0
    for _ in range(rounds):
        decoded.append(round(measure_records(looped)))
        rate, records = measure(looped)
        taped.append(round(rate))
    details = describe(source, looped)
    for figure, goal, runs, more in (
        ("feeder-decode-frames-per-second", GOAL, decoded, {}),
        ("feeder-tape-frames-per-second", TAPE_GOAL, taped, {"records": records}),
    ):
        write_result(
            figure,
            value=round(median(runs)),
            unit="frames/s",
            goal=goal,
            higher_is_better=True,
            runs=runs,
            command=COMMAND,
            details={**details, **more},
        )


if __name__ == "__main__":
    typer.run(main)
