"""Real parts of a feed, each its own process: the venue's simulator and the feeder.

Tests and benchmarks share it. Everything runs on loopback and is ended by its own process id.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from feedplane_cluster.control_plane import free_ports

TICKS = os.sysconf("SC_CLK_TCK")
T = TypeVar("T")


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
        """Send a signal and wait for the end; a negative status is the signal that ended it."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def events(self) -> list[dict[str, Any]]:
        """Return the log lines that are JSON."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


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

    def fault(self, kind: str, **fields: Any) -> Any:
        """Inject a fault."""
        return self.ask("/faults", {"kind": kind, **fields})

    def port(self, market: str) -> int:
        """Return the port of a market, `spot` or `usdm`."""
        return {"spot": self.spot_port, "usdm": self.usdm_port}[market]


@contextmanager
def venue(
    *, rate: float = 0, symbols: int = 20, args: Sequence[str] = (), env: Mapping[str, str] = {}
) -> Iterator[Venue]:
    """Run a simulator process on free loopback ports."""
    spot, usdm, admin = free_ports(3)
    argv = [
        *(sys.executable, "-m", "feedplane_simulator", "run", "--host", "127.0.0.1"),
        *("--spot-port", str(spot), "--usdm-port", str(usdm), "--admin-port", str(admin)),
        *("--rate", str(rate), "--symbols", str(symbols), *args),
    ]
    with program(*argv, name="venue", env=env) as running:
        found = Venue(running, spot, usdm, f"http://127.0.0.1:{admin}")
        wait_for(lambda: found.ask("/healthz"), 30, "the simulator", running.log)
        yield found


def wait_for(
    probe: Callable[[], T], seconds: float, what: str, log: Path | None = None, every: float = 0.1
) -> T:
    """Call a probe until it answers something true."""
    until = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < until:
        try:
            last = probe()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(every)
    tail = log.read_text(errors="replace")[-3000:] if log else ""
    raise TimeoutError(f"waited {seconds:g} s for {what}; last: {str(last)[:2000]}\n{tail}")


def feeder_config(
    at: Venue,
    dsn_env: str,
    symbols: Sequence[str],
    channels: Sequence[str],
    *,
    market: str = "spot",
    repair: bool = False,
    **fields: Any,
) -> dict[str, Any]:
    """Return a WorkerConfig document for one market of a simulator.

    Gaps stay open unless `repair` is set: most trials are about their names.
    """
    (port,) = free_ports(1)
    manual = [] if repair else list(channels)
    return {
        "version": 1,
        "venue": f"binance-{market}",
        "endpoints": {
            "stream": f"ws://127.0.0.1:{at.port(market)}",
            "rest": f"http://127.0.0.1:{at.port(market)}",
        },
        "wanted": [
            {"symbol": symbol, "channels": list(channels), "manualRepair": manual}
            for symbol in symbols
        ],
        "sinks": [{"kind": "postgres", "dsnEnv": dsn_env}],
        "httpPort": port,
        **fields,
    }


@dataclass
class Feeder:
    """A running feeder."""

    program: Program
    port: int
    config_path: Path

    def status(self) -> Any:
        """Return `/status`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=30) as answer:
            return json.loads(answer.read())

    def rewrite(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration file at once, as a mounted ConfigMap is replaced."""
        new = self.config_path.with_suffix(".new")
        new.write_text(yaml.safe_dump(dict(config)))
        new.replace(self.config_path)


@contextmanager
def feeder(config: Mapping[str, Any], env: Mapping[str, str], *args: str) -> Iterator[Feeder]:
    """Run a feeder process with a configuration."""
    path = Path(tempfile.mkdtemp(prefix="feedplane-config-")) / "worker.yaml"
    path.write_text(yaml.safe_dump(dict(config)))
    argv = (sys.executable, "-m", "feedplane_feeder", "run", "--config", str(path), *args)
    with program(*argv, name="feeder", env=env) as running:
        yield Feeder(running, config["httpPort"], path)
