"""The should-list against feeders: in a cluster through the API server, and alone over HTTP."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support_cli_cluster import Person, place_config, place_feed, run_feeder
from support_kubelet import FakeNode
from support_operator import Server
from support_resources import feeder_status, mute, utc
from typer.testing import CliRunner, Result

from feedplane_api.worker import (
    Coverage,
    FileSinkConfig,
    ListedInstrument,
    Listing,
    Selector,
    Wanted,
    WorkerConfig,
    render_worker_config,
)
from feedplane_cli.__main__ import app
from feedplane_cli.errors import ExitStatus


@pytest.fixture
def feed(server: Server, node: FakeNode, namespace: str) -> None:
    """A FeedSource whose Subscription wants two instruments, of which one feeder runs."""
    place_feed(server, namespace)
    spec = {"instruments": ["BTCUSDT", "ETHUSDT"], "channels": ["trade"]}
    server.merge("Subscription", namespace, "majors", {"spec": spec})
    place_config(server, namespace, "main", "BTCUSDT", "ETHUSDT")
    run_feeder(server, node, namespace, "main")
    status = feeder_status(coverage=Coverage(wanted=2, live=2))
    node.answers["/status"] = status.model_dump_json(by_alias=True)


@pytest.mark.usefixtures("feed")
def test_everything_that_streams_ends_with_zero(admin: Person, tmp_path: Path) -> None:
    audit = tmp_path / "checks.jsonl"
    for _ in range(2):
        result = admin.run("check", "subscriptions", "--audit-log", str(audit))
        assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert "2 of 2 wanted channels stream" in result.output
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [line.get("instrument") for line in lines] == ["BTCUSDT", "ETHUSDT", None] * 2
    assert lines[0]["result"] == "Streams"
    assert lines[2]["streaming"] == 2
    assert audit.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("feed")
def test_mute_channel_is_named_in_every_form(admin: Person, node: FakeNode) -> None:
    status = feeder_status(problems=(mute("ETHUSDT"),))
    node.answers["/status"] = status.model_dump_json(by_alias=True)
    result = admin.run("check", "subscriptions", "majors")
    assert result.exit_code == ExitStatus.NOT_READY
    assert "MISSING majors of spot: 1 of 2" in result.output
    assert "1 Mute" in result.output
    document = json.loads(admin.run("check", "subscriptions", "--format", "json").output)
    assert document["good"] is False
    assert document["subscriptions"][0]["missing"] == {"Mute": 1}
    text = admin.run("check", "subscriptions", "--format", "csv").output
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["instrument"], row["result"], row["errorCode"]) for row in rows] == [
        ("BTCUSDT", "Streams", ""),
        ("ETHUSDT", "Missing", "Mute"),
    ]


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize(
    ("answer", "reason"), [(None, "FeederUnreachable"), ('{"new": 1}', "StatusUnreadable")]
)
def test_feeder_that_cannot_be_asked_is_named(
    admin: Person, node: FakeNode, answer: str | None, reason: str
) -> None:
    node.answers.pop("/status")
    if answer is not None:
        node.answers["/status"] = answer
    result = admin.run("check", "subscriptions")
    assert result.exit_code == ExitStatus.NOT_READY
    assert reason in result.output


def test_namespace_without_subscriptions_is_told(admin: Person) -> None:
    result = admin.run("check", "subscriptions")
    assert result.exit_code == ExitStatus.NOT_FOUND
    assert "There is no Subscription" in result.output


@contextmanager
def serve(answers: dict[str, str]) -> Iterator[str]:
    """Answer as a feeder does, on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = answers.get(self.path)
            self.send_response(200 if text is not None else 404)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", "subscriptions", *arguments], catch_exceptions=False)


def test_feeder_without_a_cluster_is_asked_at_its_address(tmp_path: Path) -> None:
    config = WorkerConfig(
        venue="binance-spot",
        wanted=(Wanted(symbol="BTCUSDT", channels=("trade", "quote")),),
        selectors=(Selector(include=("ETH*",), channels=("trade",)),),
        sinks=(FileSinkConfig(path="-"),),
    )
    path = tmp_path / "worker.yaml"
    path.write_text(render_worker_config(config))
    listed = ("ETHUSDT", "ETHBTC", "SOLUSDT")
    listing = Listing(
        venue="binance-spot",
        time=utc(),
        instruments=tuple(
            ListedInstrument(symbol=symbol, trading=symbol != "ETHBTC") for symbol in listed
        ),
    )
    answers = {
        "/status": feeder_status(problems=(mute("ETHUSDT"),)).model_dump_json(by_alias=True),
        "/instruments": listing.model_dump_json(by_alias=True),
    }
    with serve(answers) as address:
        result = check("--config", str(path), "--feeder", f"{address}/")
        assert result.exit_code == ExitStatus.NOT_READY
        assert "2 of 3 wanted channels stream" in result.output
        answers["/status"] = feeder_status().model_dump_json(by_alias=True)
        assert check("--config", str(path), "--feeder", address).exit_code == ExitStatus.HEALTHY
        answers.pop("/instruments")
        result = check("--config", str(path), "--feeder", address)
        assert result.exit_code == ExitStatus.UNREACHABLE
    result = check("--config", str(path), "--feeder", address)
    assert result.exit_code == ExitStatus.UNREACHABLE
    assert "No feeder answers" in result.output


def test_audit_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    config = WorkerConfig(
        venue="binance-spot",
        wanted=(Wanted(symbol="BTCUSDT", channels=("trade",)),),
        sinks=(FileSinkConfig(path="-"),),
    )
    path = tmp_path / "worker.yaml"
    path.write_text(render_worker_config(config))
    with serve({"/status": feeder_status().model_dump_json(by_alias=True)}) as address:
        line = ("--config", str(path), "--feeder", address)
        result = check(*line, "--audit-log", str(tmp_path / "nowhere/log"))
        assert result.exit_code == ExitStatus.NOT_READY
        assert "cannot be written" in result.output


@pytest.mark.parametrize(
    "arguments", [("--feeder", "http://x"), ("--config", "worker.yaml")], ids=["feeder", "config"]
)
def test_feeder_and_configuration_belong_together(arguments: tuple[str, str]) -> None:
    result = check(*arguments)
    assert result.exit_code == ExitStatus.USAGE
    assert "both --feeder and --config" in result.output


def test_configuration_that_is_none_is_named(tmp_path: Path) -> None:
    result = check("--config", str(tmp_path / "absent"), "--feeder", "http://127.0.0.1:1")
    assert result.exit_code == ExitStatus.USAGE
    assert "cannot be used" in result.output
