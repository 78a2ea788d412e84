"""`make chaos`: the table of trials on a two-node kind cluster, with progress as it goes.

The venue's ground truth and the database are the referees; see `chaos.referee`.
"""

import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from chaos import faults
from chaos.feed import ChaosFeed
from chaos.play import play
from chaos.rounds import Round
from chaos.setup import install, set_rate, symbols_of
from chaos.table import Stage, Trial, build_table, faults_of
from release import Release
from tests.chaos.figures import write_figures

from feedplane_cluster.cache import default_cache
from feedplane_cluster.local_cluster import LocalCluster, down, up
from feedplane_cluster.toolchain import HELM, Toolchain

CLUSTER = "feedplane-chaos"
BOOK_SYMBOLS = 2
IDLE_RATE = 200


@contextmanager
def staged(trial: Trial, release: Release, local: LocalCluster) -> Iterator[Stage]:
    """Have the trial's feed running hot at the trial's rate."""
    with release.venue() as venue:
        symbols = symbols_of(venue)
        set_rate(venue, trial.rate)
    feed = ChaosFeed(
        release,
        name=f"trial-{trial.name}"[:28].rstrip("-"),
        symbols=symbols,
        book_symbols=symbols[:BOOK_SYMBOLS],
        policy=trial.policy,
        extra=trial.spec,
    )
    image = local.images["feeder"]
    stage = Stage(
        feed=feed,
        nodes=local.nodes,
        feeder_image=image,
        other_image=f"{image.rpartition(':')[0]}:dev",
    )
    try:
        with feed.applied():
            yield stage
    finally:
        with release.venue() as venue:
            faults.heal(venue)
            set_rate(venue, IDLE_RATE)


def play_all(trial: Trial, rounds: int, release: Release, local: LocalCluster) -> list[Round]:
    """Play a trial's rounds and tell each."""
    played: list[Round] = []
    with staged(trial, release, local) as stage:
        for each in play(trial, stage, rounds):
            played.append(each)
            print(each.sentence(), flush=True)
    return played


def main(
    only: Annotated[list[str] | None, typer.Option(help="Trials to play.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each; 0 plays the table's.")] = 0,
    name: Annotated[str, typer.Option(help="The cluster.")] = CLUSTER,
    *,
    keep: Annotated[bool, typer.Option(help="Keep the cluster.")] = False,
    write: Annotated[bool, typer.Option(help="Write docs/results.")] = True,
) -> None:
    """Play the trials, all or some, and say what did not hold."""
    local = up(name=name, nodes=2)
    toolchain = Toolchain(default_cache())
    release = Release(
        Path(toolchain.kubectl()), Path(toolchain.program(HELM)), local.kubeconfig, "feeds"
    )
    install(release, local.images, local.nodes)
    broken: dict[str, list[str]] = {}
    for trial in build_table():
        if only and trial.name not in only:
            continue
        began = time.monotonic()
        print(f"== {trial.name}", flush=True)
        try:
            played = play_all(trial, rounds or trial.rounds, release, local)
        except (AssertionError, OSError, subprocess.SubprocessError):
            broken[trial.name] = [traceback.format_exc(limit=-3)]
            print(broken[trial.name][0], flush=True)
            continue
        if found := faults_of(trial, played):
            broken[trial.name] = found
        print(f"   {time.monotonic() - began:.0f} s; {found or 'held'}", flush=True)
        if write and len(played) >= trial.rounds:
            write_figures(trial, played)
    if not keep:
        down(name=name)
    if broken:
        print("\n".join(f"{trial}: {found}" for trial, found in broken.items()), file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
