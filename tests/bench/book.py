"""Depth frames with the book kept and the chain checked, on one core.

uv run python -m tests.bench.book   (RECORDINGS=DIR for recorded frames)
"""

from statistics import median

import typer
from tests.bench.corpus import loop_frames
from tests.bench.decode import describe, measure
from tests.bench.results import write_result

from feedplane_feeder.run import tune_collector

COMMAND = "python -m tests.bench.book"
GOAL = 100_000


def main(loops: int = 150, rounds: int = 7) -> None:
    """Measure in rounds and write the median."""
    source, mixed = loop_frames(loops)
    tune_collector()
    depth = [[frame for frame in loop if b"@depth" in frame[:64]] for loop in mixed]
    runs = [round(measure(depth)[0]) for _ in range(rounds)]
    write_result(
        "book-frames-per-second",
        value=round(median(runs)),
        unit="frames/s",
        goal=GOAL,
        higher_is_better=True,
        runs=runs,
        command=COMMAND,
        details=describe(source, depth),
    )


if __name__ == "__main__":
    typer.run(main)
