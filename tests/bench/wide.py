"""Wide venues: 8,000 pushed instruments, 3,000 polled ones; a feeder process of its own for each.

Coverage, lag of the venue's time, late polls and the most memory the feeder took, against the
simulator on the same machine, into the file sink.

uv run python -m tests.bench.wide
"""

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import typer
from tests.bench.results import write_result

from feedplane_api.worker import (
    Endpoints,
    FileSinkConfig,
    SessionConfig,
    Wanted,
    WorkerConfig,
    render_worker_config,
)
from feedplane_cluster.control_plane import free_ports
from feedplane_simulator.config import SimulatorConfig
from feedplane_simulator.eastmoney import build_symbols as build_shares
from feedplane_simulator.fushu import build_symbols as build_hong_kong
from feedplane_simulator.simulator import Simulator

COMMAND = "python -m tests.bench.wide"
GOAL_MIB = 512
GOAL_PERCENT = 99.0
SETTLE_SECONDS = 45.0


@dataclass(frozen=True)
class Case:
    """One venue at full width."""

    figure: str
    venue: str
    symbols: list[str]
    rate: float
    """Changes a second over all instruments."""


CASES = (
    Case("wide-pushed", "eastmoney", build_shares(8_000), 1_000),
    Case("wide-polled", "fushu-tencent", build_hong_kong(3_000), 1_000),
)


async def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Run one feeder and return what it says of itself, and what the system says of it."""
    config = SimulatorConfig(
        markets=(),
        venues={case.venue: 0},
        rate=case.rate,
        symbols=len(case.symbols),
        truth_bytes=1024,
    )
    with tempfile.TemporaryDirectory(prefix="feedplane-wide-") as name:
        folder = Path(name)
        async with Simulator(config) as simulator:
            address = f"http://127.0.0.1:{simulator.ports[case.venue]}"
            path = folder / "worker.yaml"
            (port,) = free_ports(1)
            path.write_text(render_worker_config(_worker(case, address, folder, port)))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "feedplane_feeder", "run", "--config", str(path)),
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                status = await _watch(port, case, seconds)
                status["rssMebibytes"] = _peak_mebibytes(process.pid)
                status["violations"] = len(simulator.violations.list_all())
            finally:
                process.terminate()
                await process.wait()
        status["rows"] = _count_rows(folder)
    return status


def main(seconds: float = 60) -> None:
    """Measure both venues and write four figures."""
    for case in CASES:
        seen = asyncio.run(measure(case, seconds))
        details = {"venue": case.venue, "instruments": len(case.symbols), **seen}
        write_result(
            f"{case.figure}-rss-mib",
            value=seen["rssMebibytes"],
            unit="MiB",
            goal=GOAL_MIB,
            higher_is_better=False,
            runs=[seen["rssMebibytes"]],
            command=COMMAND,
            details=details,
        )
        write_result(
            f"{case.figure}-coverage-percent",
            value=seen["lowestPercent"],
            unit="%",
            goal=GOAL_PERCENT,
            higher_is_better=True,
            runs=seen["percents"],
            command=COMMAND,
            details=details,
        )


def _worker(case: Case, address: str, folder: Path, port: int) -> WorkerConfig:
    return WorkerConfig(
        venue=case.venue,
        endpoints=Endpoints(stream=address, rest=address),
        wanted=tuple(Wanted(symbol=symbol, channels=("snapshot",)) for symbol in case.symbols),
        session=SessionConfig(stale_after_seconds=60),
        sinks=(FileSinkConfig(path=str(folder / "tape")),),
        http_port=port,
    )


async def _watch(port: int, case: Case, seconds: float) -> dict[str, Any]:
    percents: list[float] = []
    seen: dict[str, Any] = {}
    started = time.monotonic()
    live_after: float | None = None
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as http:
        while live_after is None or time.monotonic() - started < live_after + seconds:
            await asyncio.sleep(1.0)
            try:
                async with http.get(f"{url}/status") as answer:
                    seen = json.loads(await answer.read())
            except aiohttp.ClientError:
                continue
            percent = 100.0 * seen["coverage"]["live"] / len(case.symbols)
            waited = time.monotonic() - started
            if live_after is None and (percent >= GOAL_PERCENT or waited > SETTLE_SECONDS):
                live_after = waited
            if live_after is not None:
                percents.append(round(percent, 2))
        async with http.get(f"{url}/metrics") as answer:
            metrics = await answer.text()
    return {
        "lowestPercent": min(percents),
        "percents": percents,
        "liveAfterSeconds": round(live_after or 0.0, 1),
        "lagMilliseconds": seen.get("lagMilliseconds"),
        "eventsPerSecond": seen.get("eventsPerSecond"),
        "latePolls": _sum_of(metrics, "feedplane_feeder_late_polls_total"),
        "unchanged": _sum_of(metrics, "feedplane_feeder_unchanged_total"),
    }


def _sum_of(metrics: str, name: str) -> float:
    lines = (line for line in metrics.splitlines() if line.startswith(name + "{"))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _peak_mebibytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def _count_rows(folder: Path) -> int:
    return sum(len(found.read_bytes().splitlines()) for found in folder.rglob("*.jsonl"))


if __name__ == "__main__":
    typer.run(main)
