"""What benchmarks need beside the processes of tests/support/rig.py, and the tape's referee."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from feedplane_cluster.database import TimescaleServer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from rig import TICKS, Feeder, Program, Venue, feeder, feeder_config, program, venue, wait_for
from tape import judge

__all__ = [
    "DATABASE_SETTINGS",
    "Feeder",
    "Program",
    "Venue",
    "feeder",
    "feeder_config",
    "judge",
    "postgres_cpu_seconds",
    "program",
    "symbol_names",
    "venue",
    "wait_for",
    "warmed",
]

DATABASE_SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "16GB", "jit": "off"}


def postgres_cpu_seconds(server: TimescaleServer) -> float:
    """Return CPU seconds of every process of a database server, the ended ones included."""
    out = subprocess.run(
        ["docker", "inspect", "-f", "{{.State.Pid}}", server.name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    root = int(out)
    total = 0
    children: dict[int, list[tuple[int, int]]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        spent = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
        children.setdefault(int(fields[1]), []).append((int(entry.name), spent))
        if int(entry.name) == root:
            total += spent
    pending = [root]
    while pending:
        for pid, spent in children.get(pending.pop(), ()):
            total += spent
            pending.append(pid)
    return total / TICKS


def warmed(database: str, running: Feeder) -> None:
    """Wait until every wanted channel is acknowledged."""

    def probe() -> bool:
        status = running.status()
        return bool(status["session"] in {"Streaming", "Subscribing"} and status["connections"])

    wait_for(probe, 30, f"a session ({database})", running.program.log)


def symbol_names(market: Venue, count: int) -> list[str]:
    """Return the first symbols of the spot list."""
    url = f"http://127.0.0.1:{market.spot_port}/api/v3/exchangeInfo"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return [row["symbol"] for row in json.loads(answer.read())["symbols"]][:count]
