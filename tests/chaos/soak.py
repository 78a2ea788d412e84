"""`make soak`: a feed under small faults for as long as is asked, then its ledger and its report.

What must hold at the end: no row of the ledger is open, no trade that was missed stayed missing,
nothing is doubled, and the quality report finds no error.
"""

import os
import random  # noqa: TID251 - seeded below
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from chaos import faults, trials
from chaos.feed import ChaosFeed
from chaos.setup import install, set_rate, symbols_of
from release import Release, VenueAdmin
from tests.bench.results import RESULTS, write_result

from feedplane_cluster.cache import default_cache
from feedplane_cluster.local_cluster import down, up
from feedplane_cluster.toolchain import HELM, Toolchain

CLUSTER: Final = "feedplane-chaos"
FEED: Final = "soak"
SYMBOLS: Final = 8
PAUSE_SECONDS: Final = (15.0, 45.0)
SETTLE_SECONDS: Final = 300.0
Act = Callable[[ChaosFeed, VenueAdmin], object]


def skip_frames(feed: ChaosFeed, venue: VenueAdmin) -> None:
    """Drop one trade frame in a hundred on the active line for ten seconds."""
    fault = {"kind": "skip", "market": "spot", "streams": "*@aggTrade", "probability": 0.01}
    venue.ask("/faults", {**fault, "client": feed.holder().account, "seconds": 10})


def end_sessions(kind: str, _feed: ChaosFeed, venue: VenueAdmin) -> None:
    """Rotate or drop every session."""
    venue.ask("/faults", {"kind": kind, "market": "spot"})


ACTS: Final[Mapping[str, Act]] = {
    "skip": skip_frames,
    "drop": partial(end_sessions, "drop"),
    "rotate": partial(end_sessions, "rotate"),
    "kill": trials.kill_active,
    "switchover": trials.switch_over,
}


def trouble(feed: ChaosFeed, seconds: float, rng: random.Random) -> Counter[str]:
    """Let small faults happen until the time is over; how many of each."""
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = rng.choice(sorted(ACTS))
        feed.wait_hot()
        with feed.release.venue() as venue:
            ACTS[name](feed, venue)
        feed.patch('{"activeAccount": null}')
        done[name] += 1
        left = (end - time.monotonic()) / 60
        open_rows = feed.gaps("state in ('open', 'filling')")
        print(f"{left:6.1f} min left: {name}, {open_rows} gaps open", flush=True)
        time.sleep(rng.uniform(*PAUSE_SECONDS))
    return done


def report(feed: ChaosFeed, folder: Path) -> str:
    """Write the quality report of the feed's ticks; what the command says."""
    with feed.dsn() as dsn:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "feedplane_cli", "report", "quality", f"{FEED}-ticks"),
                *("--namespace", feed.release.namespace, "--kubeconfig", feed.release.kubeconfig),
                *("--output", str(folder)),
            ],
            env={**os.environ, "FEEDPLANE_DSN": dsn},
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stdout + done.stderr


def judge(feed: ChaosFeed) -> dict[str, Any]:
    """Return what the tables say in the end."""
    missing = (
        "select coalesce(sum(n), 0) from"  # noqa: S608
        " (select max(trade_id) - min(trade_id) + 1 - count(*) as n"
        f" from {feed.schema}.trades group by instrument_id) as each"
    )
    return {
        "trades": int(feed.release.sql(f"select count(*) from {feed.schema}.trades")),  # noqa: S608
        "trades_missing": int(feed.release.sql(missing)),
        "gaps": feed.gaps("true"),
        "gaps_open": feed.gaps("state in ('open', 'filling')"),
        "gaps_filled": feed.gaps("state = 'filled'"),
        "gaps_unfillable": feed.gaps("state = 'unfillable'"),
    }


def main(
    minutes: Annotated[float, typer.Option(help="How long faults go on.")] = 30,
    seed: Annotated[int, typer.Option(help="Which faults, in which order.")] = 1,
    rate: Annotated[int, typer.Option(help="Events a second at the venue.")] = 5_000,
    name: Annotated[str, typer.Option(help="The cluster.")] = CLUSTER,
    *,
    keep: Annotated[bool, typer.Option(help="Keep the cluster.")] = False,
) -> None:
    """Run the soak and say what did not hold."""
    local = up(name=name, nodes=2)
    toolchain = Toolchain(default_cache())
    release = Release(
        Path(toolchain.kubectl()), Path(toolchain.program(HELM)), local.kubeconfig, "feeds"
    )
    install(release, local.images, local.nodes)
    with release.venue() as venue:
        symbols = symbols_of(venue)[:SYMBOLS]
        set_rate(venue, rate)
    feed = ChaosFeed(release, name=FEED, symbols=symbols)
    with feed.applied():
        done = trouble(feed, minutes * 60, random.Random(seed))  # noqa: S311
        with release.venue() as venue:
            faults.heal(venue)
        deadline = time.monotonic() + SETTLE_SECONDS
        while feed.gaps("state in ('open', 'filling')") and time.monotonic() < deadline:
            time.sleep(2)
        found = judge(feed)
        text = report(feed, RESULTS / "soak")
    print(text)
    print(found)
    missing = 1e6 * found["trades_missing"] / max(1, found["trades"])
    figures = (
        ("missing-ppm-after-repair", round(missing, 3), "ppm"),
        ("soak-open-ledger-rows", found["gaps_open"], "rows"),
    )
    for figure, value, unit in figures:
        write_result(
            figure,
            value=value,
            unit=unit,
            goal=0,
            higher_is_better=False,
            runs=[found],
            command=f"make soak MINUTES={minutes:g}",
            details={"minutes": minutes, "rate": rate, "faults": dict(done)},
        )
    if not keep:
        down(name=name)
    if found["gaps_open"] or found["trades_missing"] or "ERROR" in text:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
