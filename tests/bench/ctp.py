"""Two futures accounts merged into one table while the first one's process is killed.

`python -m tests.bench.ctp --seconds 60 --kills 10`: both accounts are sent every tick, over
midnight, with as many instruments of each exchange. After each kill the second account's line is
cut, so that the table is whole only if both are merged rightly; the fronts' own account of what
they emitted is the referee. `--seconds 3600` is the long form, with figures of its own.
"""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
import uvloop
from tests.bench.results import write_result
from tests.bench.rig import DATABASE_SETTINGS

from feedplane_cluster.control_plane import ControlPlane
from feedplane_cluster.database import TimescaleServer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from merged import MergedFeed, Outcome, in_cluster, judge_database
from support_feeder_cluster import make_place

GOAL_TICKS = 5_000
GOAL_MICROSECONDS = 50
HOUR_SECONDS = 3_600
PACE = 1.05
"""The fronts are asked for a little more, because a busy machine makes them late."""


def main(
    seconds: float = 60,
    kills: int = 10,
    rate: float = GOAL_TICKS,
    symbols: int = 480,
    *,
    record: bool = True,
) -> None:
    """Measure, print, and write the figures unless told not to."""
    with (
        TimescaleServer(DATABASE_SETTINGS) as server,
        ControlPlane() as plane,
        tempfile.TemporaryDirectory(prefix="feedplane-ctp-bench-") as name,
    ):
        folder = Path(name)
        account = folder / "service-account"
        account.mkdir()
        dsn = server.create_database()
        setting = in_cluster(make_place(plane, "futures", account), dsn)
        feed = MergedFeed(folder, setting, symbols=symbols, rate=rate * PACE)
        outcome = uvloop.run(measure(feed, dsn, seconds, kills))
    details = describe(feed, outcome, kills)
    for key, value in details.items():
        print(f"{key}: {value}")
    if any(0 in sides for sides in outcome.sides.values()):
        raise RuntimeError(f"Expected rows on both sides of midnight, was {outcome.sides}")
    if record:
        write_figures(feed, outcome, details, f"--seconds {seconds:g} --kills {kills}")


async def measure(feed: MergedFeed, dsn: str, seconds: float, kills: int) -> Outcome:
    """Run both feeders, and return what came of it."""
    async with feed:
        await feed.play(seconds, kills)
        await feed.end()
    return await judge_database(feed, dsn)


def describe(feed: MergedFeed, outcome: Outcome, kills: int) -> dict[str, Any]:
    """Return all that was seen."""
    return {
        "seconds": round(feed.seconds, 1),
        "kills_of_the_first_account": kills,
        "cuts_of_the_second_accounts_line": kills,
        "instruments": len(feed.symbols),
        "accounts_sent_every_tick": len(feed.lines),
        **asdict(outcome.total),
        "rows_before_and_after_midnight": outcome.sides,
        "untrue_by_exchange": {name: each.untrue for name, each in outcome.by_exchange.items()},
        "quarantined": outcome.quarantined,
        "gaps_not_filled": outcome.unfilled_gaps,
        "publisher_sessions": outcome.sessions,
        "venue_rules_violated": len(feed.violations.list_all()),
        "feeder_peak_rss_mib": {name: line.peak_mib for name, line in feed.lines.items()},
        "callbacks": feed.wall.counts.total(),
        "callback_microseconds_by_the_clock": _spread(feed.wall.percentile),
        "callback_microseconds_of_the_processor": _spread(feed.processor.percentile),
    }


def write_figures(
    feed: MergedFeed, outcome: Outcome, details: dict[str, Any], options: str
) -> None:
    """Write what was asked for; the long form does not replace the short one."""
    scope = "-hour" if feed.seconds >= HOUR_SECONDS else ""
    rate = round(outcome.total.emitted / feed.seconds)
    wall, processor = feed.wall.percentile(99), feed.processor.percentile(99)
    figures: tuple[tuple[str, float, str, float, bool], ...] = (
        ("ctp-merged-ticks-per-second", rate, "ticks/s", GOAL_TICKS, True),
        ("ctp-merged-broken-snapshots", outcome.total.broken, "snapshots", 0, False),
        ("ctp-callback-p99-microseconds", wall, "us", GOAL_MICROSECONDS, False),
        ("ctp-callback-processor-p99-microseconds", processor, "us", GOAL_MICROSECONDS, False),
    )
    for figure, value, unit, goal, higher in figures:
        write_result(
            f"{figure}{scope}",
            value=value,
            unit=unit,
            goal=goal,
            higher_is_better=higher,
            runs=[value],
            command=f"python -m tests.bench.ctp {options}",
            details=details,
        )


def _spread(percentile: Any) -> dict[str, float]:
    return {f"p{percent:g}": percentile(percent) for percent in (50, 90, 99, 99.9)}


if __name__ == "__main__":
    typer.run(main)
