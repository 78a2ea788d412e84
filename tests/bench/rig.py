"""Real parts for a benchmark: venue simulator, database and feeder, each its own process.

Everything runs on loopback, for a bounded time, and is ended by its own process id.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from feedplane_cluster.control_plane import free_ports
from feedplane_cluster.database import TimescaleServer

TICKS = os.sysconf("SC_CLK_TCK")
DATABASE_SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "16GB", "jit": "off"}


@dataclass
class Program:
    """A child process with its accounting."""

    process: subprocess.Popen[bytes]
    log: Path

    def cpu_seconds(self) -> float:
        """Return user and system seconds of the process, its threads included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mib(self) -> float:
        """Return the resident memory in MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def kill(self, number: signal.Signals = signal.SIGTERM, timeout: float = 30) -> int:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


@contextmanager
def program(*argv: str, name: str, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """Run a program until the block ends; its output goes to a file."""
    log = Path(tempfile.mkdtemp(prefix=f"feedplane-{name}-")) / "log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            argv, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
        )
    running = Program(child, log)
    try:
        yield running
    finally:
        running.kill()


@dataclass
class Venue:
    """A running simulator."""

    program: Program
    spot_port: int
    usdm_port: int
    admin: str

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Call the admin port."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.admin}{path}", data=data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read())


@contextmanager
def venue(*, rate: float = 0, symbols: int = 20, args: tuple[str, ...] = ()) -> Iterator[Venue]:
    """Run a simulator process on free loopback ports."""
    spot, usdm, admin = free_ports(3)
    argv = [
        *(sys.executable, "-m", "feedplane_simulator", "run", "--host", "127.0.0.1"),
        *("--spot-port", str(spot), "--usdm-port", str(usdm), "--admin-port", str(admin)),
        *("--rate", str(rate), "--symbols", str(symbols), *args),
    ]
    with program(*argv, name="venue") as running:
        found = Venue(running, spot, usdm, f"http://127.0.0.1:{admin}")
        wait_for(lambda: found.ask("/healthz"), 20, "the simulator", running.log)
        yield found


def wait_for(probe: Any, seconds: float, what: str, log: Path | None = None) -> Any:
    """Call a probe until it answers something true."""
    until = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < until:
        try:
            if found := probe():
                return found
        except OSError as error:
            last = error
        time.sleep(0.1)
    tail = log.read_text()[-3000:] if log else ""
    raise TimeoutError(f"waited {seconds:g} s for {what}; last: {last}\n{tail}")


def feeder_config(
    market: Venue, dsn_env: str, symbols: list[str], channels: list[str], **fields: Any
) -> dict[str, Any]:
    """Return a WorkerConfig document for the spot market of a simulator."""
    (port,) = free_ports(1)
    return {
        "version": 1,
        "venue": "binance-spot",
        "endpoints": {
            "stream": f"ws://127.0.0.1:{market.spot_port}",
            "rest": f"http://127.0.0.1:{market.spot_port}",
        },
        "wanted": [{"symbol": symbol, "channels": channels} for symbol in symbols],
        "sinks": [{"kind": "postgres", "dsnEnv": dsn_env}],
        "httpPort": port,
        **fields,
    }


@dataclass
class Feeder:
    """A running feeder."""

    program: Program
    port: int

    def status(self) -> Any:
        """Return `/status`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def feeder(config: dict[str, Any], env: Mapping[str, str], *args: str) -> Iterator[Feeder]:
    """Run a feeder process with a configuration."""
    path = Path(tempfile.mkdtemp(prefix="feedplane-config-")) / "worker.yaml"
    path.write_text(yaml.safe_dump(config))
    argv = (sys.executable, "-m", "feedplane_feeder", "run", "--config", str(path), *args)
    with program(*argv, name="feeder", env=env) as running:
        yield Feeder(running, config["httpPort"])


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
