"""Frames a second that the simulator gets through a socket, read by another process.

`python -m tests.bench.simulator` blasts aggregate trades in rounds and counts what arrived.
"""

import json
import statistics
import subprocess
import sys

import typer
from tests.bench.results import write_result

COMMAND = "make bench ONLY=simulator"


def measure(seconds: float) -> float:
    """Run one blast and return the frames a second that the reader counted."""
    argv = [sys.executable, "-m", "feedplane_simulator", "bench", "--seconds", str(seconds)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    run = json.loads(done.stdout.splitlines()[-1])
    if run["read"]["frames"] != run["framesWritten"]:
        raise RuntimeError(f"read {run['read']['frames']} of {run['framesWritten']} frames")
    return float(run["framesPerSecond"])


def main(seconds: float = 5, rounds: int = 5) -> None:
    """Measure in rounds and write the median."""
    runs = [round(measure(seconds)) for _ in range(rounds)]
    write_result(
        "simulator-frames-per-second",
        value=round(statistics.median(runs)),
        unit="frames/s",
        goal=150_000,
        higher_is_better=True,
        runs=runs,
        command=COMMAND,
    )


if __name__ == "__main__":
    typer.run(main)
