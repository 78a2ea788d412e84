"""The demo by the clock: from `kubectl apply` to the first committed row, and a whole second run.

uv run python -m tests.bench.demo
"""

from pathlib import Path

import typer
from tests.bench.results import write_result

from feedplane_cluster.demo import run_demo
from feedplane_cluster.demo_inputs import DemoOptions

ROOT = Path(__file__).parents[2]
COMMAND = "python -m tests.bench.demo"
FIRST_ROW_GOAL_SECONDS = 30
WARM_GOAL_SECONDS = 180


def main(rounds: int = 3) -> None:
    """Run the demo once to have everything built, then in rounds that feed afresh."""
    options = DemoOptions(root=ROOT)
    first = run_demo(options)
    measured = [run_demo(options, afresh=True) for _ in range(rounds)]
    details = {
        "first_run_seconds": round(first.seconds, 1),
        "feeds": "two FeedSources with three accounts in all, eight instruments",
        "value": "the slowest round",
    }
    figures = {
        "apply-to-first-row-seconds": (
            FIRST_ROW_GOAL_SECONDS,
            [round(each.apply_to_first_row_seconds, 2) for each in measured],
        ),
        "demo-warm-seconds": (WARM_GOAL_SECONDS, [round(each.seconds, 1) for each in measured]),
    }
    for figure, (goal, runs) in figures.items():
        write_result(
            figure,
            value=max(runs),
            unit="s",
            goal=goal,
            higher_is_better=False,
            runs=runs,
            command=COMMAND,
            details=details,
        )


if __name__ == "__main__":
    typer.run(main)
