"""The shipped command as a process: signals, exit codes, termination message, live changes."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from support_feeder_cluster import LEASE, WORKER, Place

from feedplane_api.names import ExitCode
from feedplane_api.worker import (
    AccountIdentity,
    ConfigMapRef,
    ElectionConfig,
    Endpoints,
    FeederStatus,
    FileSinkConfig,
    LogFormat,
    PostgresSinkConfig,
    Wanted,
    WorkerConfig,
    render_worker_config,
)
from feedplane_cluster.database import TimescaleServer
from feedplane_simulator.config import Market, SimulatorConfig
from feedplane_simulator.simulator import Simulator

# Real servers on a busy machine take their time.
pytestmark = pytest.mark.timeout(120)

COMMAND = (sys.executable, "-m", "feedplane_feeder")


@dataclass
class Feeder:
    """A running feeder process."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, object]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port it says it listens on."""
        started = [line for line in self.lines if line["msg"] == "feeder.started"]
        return int(str(started[0]["port"])) if started else 0

    async def read_log(self) -> None:
        """Collect its log until it ends."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.raw.append(line.decode())
            self.lines.append(json.loads(line))

    async def status(self) -> FeederStatus:
        """Ask for its status."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{self.port}/status") as answer,
        ):
            return FeederStatus.model_validate_json(await answer.read())

    async def until(self, condition: Callable[[FeederStatus], bool], seconds: float = 40) -> None:
        """Wait until its status is as wanted."""
        async with asyncio.timeout(seconds):
            while not (self.port and condition(await self.status())):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.1)

    def said(self, event: str) -> list[dict[str, object]]:
        """Return its log lines of one event."""
        return [line for line in self.lines if line["msg"] == event]

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        async with asyncio.timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def started(
    path: Path, *options: str, environment: dict[str, str] | None = None
) -> AsyncIterator[Feeder]:
    """Start a feeder with a configuration file."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "run",
        "--config",
        str(path),
        *options,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        limit=2**20,
    )
    feeder = Feeder(process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feeder.read_log())
        try:
            yield feeder
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def build_config(simulator: Simulator, tape: Path, *symbols: str) -> WorkerConfig:
    return WorkerConfig(
        venue="binance-spot",
        endpoints=Endpoints(
            stream=simulator.spot_url, rest=simulator.spot_url.replace("ws:", "http:")
        ),
        wanted=tuple(Wanted(symbol=symbol, channels=("trade",)) for symbol in symbols),
        sinks=(FileSinkConfig(path=str(tape)),),
        http_port=0,
        log_format=LogFormat.JSON,
    )


def trade_ids(tape: Path, symbol: str) -> list[int]:
    """Read the trade ids of one instrument from a file sink's folder."""
    lines = [
        json.loads(line)
        for file in sorted(tape.glob("trade-*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [line["trade_id"] for line in lines if line["instrument_id"].startswith(f"{symbol}.")]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A venue with a few busy instruments."""
    async with Simulator(SimulatorConfig(rate=400, symbols=4)) as running:
        yield running


@pytest.mark.parametrize("engine", ["picows", "websockets"])
async def test_feeder_told_to_stop_has_written_every_trade(
    simulator: Simulator, tmp_path: Path, engine: str
) -> None:
    tape = tmp_path / "tape"
    path = tmp_path / "worker.yaml"
    path.write_text(render_worker_config(build_config(simulator, tape, "BTCUSDT", "ETHUSDT")))
    async with started(path, "--transport", engine) as feeder:
        await feeder.until(lambda status: status.ready and status.coverage.live == 2)
        await feeder.until(lambda status: status.sinks[0].records_written > 200)
        status = await feeder.status()
        assert (status.venue, status.election.active) == ("binance-spot", True)
        assert await feeder.end() == ExitCode.OK
    assert feeder.lines[-1]["msg"] == "feeder.stopped"
    assert {"ts", "level", "component", "msg", "venue"} <= feeder.lines[-1].keys()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        written = trade_ids(tape, symbol)
        sent = simulator.truth.ids((Market.SPOT, "aggTrade", symbol))
        assert written == [one for one in sent if written[0] <= one <= written[-1]]
        assert len(written) > 20
    assert simulator.violations.list_all() == []


async def test_feeder_given_a_new_instrument_streams_it_without_reconnecting(
    simulator: Simulator, tmp_path: Path
) -> None:
    tape, path = tmp_path / "tape", tmp_path / "worker.yaml"
    path.write_text(render_worker_config(build_config(simulator, tape, "BTCUSDT")))
    async with started(path) as feeder:
        await feeder.until(lambda status: status.coverage.live == 1)
        before = [connection["id"] for connection in simulator.connections()]
        path.write_text("venue: [half a document")
        await asyncio.sleep(1.5)
        path.write_text(render_worker_config(build_config(simulator, tape, "BTCUSDT", "ETHUSDT")))
        await feeder.until(lambda status: status.coverage.live == 2, seconds=10)
        assert [connection["id"] for connection in simulator.connections()] == before
        assert (await feeder.status()).reconnects == 0
        assert await feeder.end(signal.SIGINT) == ExitCode.OK
    assert len(feeder.said("config.refused")) == 1
    changes = [line for line in feeder.said("config.changed") if line["component"] == "run"]
    assert [line["fields"] for line in changes] == [["wanted"]]


async def test_feeder_with_a_duration_ends_by_itself(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "worker.yaml"
    path.write_text(render_worker_config(build_config(simulator, tmp_path / "tape", "BTCUSDT")))
    async with started(path, "--duration", "2") as feeder, asyncio.timeout(60):
        assert await feeder.process.wait() == ExitCode.OK
    assert trade_ids(tmp_path / "tape", "BTCUSDT")


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        pytest.param(
            "venue: no-such-venue\nsinks: [{kind: file, path: x}]\n",
            ExitCode.CONFIG_INVALID,
            "UnknownVenue: Expected one of the venues",
            id="unknown venue",
        ),
        pytest.param(
            "venue: binance-spot\nsinks: [{kind: file, path: x}]\nhttpPort: many\n",
            ExitCode.CONFIG_INVALID,
            "InvalidConfig: Expected a usable worker configuration, was wrong at httpPort",
            id="bad field",
        ),
        pytest.param(
            "venue: binance-spot\nsinks: [{kind: file, path: x}]\n"
            "configMap: {namespace: a, name: b}\n",
            ExitCode.FAILURE,
            "Failed: Expected an answer from the Kubernetes API",
            id="no cluster where one is needed",
        ),
    ],
)
async def test_feeder_that_cannot_run_says_why(
    tmp_path: Path, document: str, code: int, message: str
) -> None:
    path, last_words = tmp_path / "worker.yaml", tmp_path / "termination-log"
    path.write_text(document)
    last_words.touch()
    environment = {"FEEDPLANE_TERMINATION_LOG": str(last_words), "KUBERNETES_SERVICE_HOST": ""}
    async with started(path, environment=environment) as feeder, asyncio.timeout(60):
        assert await feeder.process.wait() == code
    assert last_words.read_text().startswith(message)
    assert feeder.lines[-1]["msg"] == "feeder.failed"
    assert feeder.lines[-1]["exit_code"] == code


async def test_feeder_in_a_cluster_publishes_under_its_lease(
    simulator: Simulator, timescale: TimescaleServer, place: Place, tmp_path: Path
) -> None:
    dsn = timescale.create_database(timescale=True)
    secret = tmp_path / "dsn"
    secret.write_text(dsn)
    base = build_config(simulator, tmp_path, "BTCUSDT")
    config = base.model_copy(
        update={
            "account": AccountIdentity(name="main"),
            "sinks": (PostgresSinkConfig(dsn_path=str(secret)),),
            "election": ElectionConfig(namespace=place.namespace, lease_name=LEASE),
            "config_map": ConfigMapRef(namespace=place.namespace, name=WORKER),
        }
    )
    path = tmp_path / "worker.yaml"
    path.write_text(render_worker_config(config))
    place.write_config(render_worker_config(config))
    host, _, port = place.address.server.removeprefix("https://").rpartition(":")
    environment = {
        "POD_NAME": "demo-main-0-abc",
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "FEEDPLANE_SERVICE_ACCOUNT_DIR": str(place.address.token_path.parent),
    }
    async with started(path, environment=environment) as feeder:
        await feeder.until(
            lambda status: status.election.active and status.sinks[0].records_written > 0
        )
        status = await feeder.status()
        assert status.pod == "demo-main-0-abc"
        assert (status.election.holder, status.election.epoch) == ("main", 1)
        assert place.holder() == "main/demo-main-0-abc"
        wanted = build_config(simulator, tmp_path, "BTCUSDT", "ETHUSDT").wanted
        place.write_config(render_worker_config(config.model_copy(update={"wanted": wanted})))
        await feeder.until(lambda status: status.coverage.live == 2, seconds=10)
        assert resident_mebibytes(feeder.process.pid) <= 80
        assert await feeder.end() == ExitCode.OK
    assert place.holder() == ""
    database = dsn.rpartition("/")[2]
    query = "select count(*) > 10, count(*) - count(distinct (instrument_id, trade_id)) = 0"
    rows = timescale.execute(f"{query} from feedplane.trades", database=database)
    assert rows == "t|t"
    password = dsn.partition("://")[2].partition("@")[0]
    assert password not in "".join(feeder.raw)


def resident_mebibytes(pid: int) -> float:
    """Return a process's resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
