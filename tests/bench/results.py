"""Writes a measured figure to docs/results/<figure>.json, with where and how it was measured."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


def write_result(  # noqa: PLR0913 - one argument for each field of the file
    figure: str,
    *,
    value: float,
    unit: str,
    goal: float,
    higher_is_better: bool,
    runs: Sequence[Any],
    command: str,
    details: Mapping[str, Any] | None = None,
) -> Path:
    """Write one figure and print it; the file is replaced."""
    met = value >= goal if higher_is_better else value <= goal
    result = {
        "figure": figure,
        "value": value,
        "unit": unit,
        "goal": goal,
        "higher_is_better": higher_is_better,
        "met": met,
        "command": command,
        "commit": read_commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "runs": list(runs),
        "details": dict(details or {}),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{figure}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(f"{figure}: {value:,} {unit} (goal {goal:,}, {'met' if met else 'NOT met'})")
    return path


def write_bounds(
    figures: Iterable[tuple[str, float, str, float]], command: str, details: Mapping[str, Any]
) -> None:
    """Write figures of one run that are not to be passed: name, value, unit, goal."""
    for figure, value, unit, goal in figures:
        write_result(
            figure,
            value=value,
            unit=unit,
            goal=goal,
            higher_is_better=False,
            runs=[value],
            command=command,
            details=details,
        )


def read_commit() -> str:
    """Return the commit measured; `-dirty` where the measured code differs from it."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", "crds", "operator", "feeder", "tests/simulator")
    return f"{commit}-dirty" if changed else commit


def describe_machine() -> str:
    """Return processor, cores, memory and system in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}"
    )


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
