"""`make bench`: every figure, one after the other, each in a process of its own."""

import subprocess
import sys
from typing import Annotated

import typer

STEPS: dict[str, tuple[str, ...]] = {
    "decode": ("tests.bench.decode",),
    "book": ("tests.bench.book",),
    "copy": ("tests.bench.copy",),
    "backfill": ("tests.bench.backfill",),
    "repair": ("tests.bench.repair",),
    "integrity": ("tests.bench.integrity",),
    "mute": ("tests.bench.mute",),
    "simulator": ("tests.bench.simulator",),
    "idle": ("tests.bench.idle",),
    "throughput": ("tests.bench.throughput",),
    "versus": ("tests.bench.versus_cryptofeed",),
    "wide": ("tests.bench.wide",),
    "ctp": ("tests.bench.ctp",),
    "operator": ("tests.bench.operator_scale",),
    "operator-full": ("tests.bench.operator_scale", "--full"),
    "queue": ("tests.bench.backfill_queue",),
    "demo": ("tests.bench.demo",),
}


def main(only: Annotated[list[str] | None, typer.Option(help="Steps to run.")] = None) -> None:
    """Run the named steps, or all of them; a failing step does not stop the next."""
    failed = []
    for name, command in STEPS.items():
        if only and name not in only:
            continue
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
