import asyncio
import logging
import os
import random  # noqa: TID251 - seeded
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry, Counter

from feedplane_api.names import WORKER_CONFIG_KEY
from feedplane_api.worker import (
    ConfigMapRef,
    FileSinkConfig,
    Wanted,
    WorkerConfig,
    render_worker_config,
)
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.cluster import ClusterApi, Document
from feedplane_feeder.config_watch import ConfigGate, ConfigMapWatch, FileWatch
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log

BASE = WorkerConfig(venue="some-venue", sinks=(FileSinkConfig(path="-"),))
LOG = get_log("config_watch")


def wanting(*symbols: str) -> WorkerConfig:
    wanted = tuple(Wanted(symbol=symbol, channels=("trade",)) for symbol in symbols)
    return BASE.model_copy(update={"wanted": wanted})


def build_gate() -> tuple[ConfigGate, CollectorRegistry]:
    registry = CollectorRegistry()
    counter = Counter("refused", "Refused.", registry=registry)
    return ConfigGate(BASE, log=LOG, refused=counter), registry


def test_gate_lets_a_valid_change_through_once() -> None:
    gate, _ = build_gate()
    text = render_worker_config(wanting("BTCUSDT"))
    assert gate.admit(text) == wanting("BTCUSDT")
    assert gate.admit(text) is None
    assert gate.admit(render_worker_config(BASE)) == BASE


def test_gate_refuses_an_invalid_document_and_says_where(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, registry = build_gate()
    assert gate.admit("venue: some-venue\nsinks: [{kind: file}]\n") is None
    assert gate.admit("{") is None
    assert [record.getMessage() for record in caplog.records] == [Event.CONFIG_REFUSED] * 2
    assert caplog.records[0].__dict__["fields"]["path"] == "sinks.0.file.path"
    assert registry.get_sample_value("refused_total") == 2


def test_gate_meeting_the_running_configuration_stays_shut() -> None:
    gate, _ = build_gate()
    assert gate.admit(render_worker_config(BASE)) is None
    assert gate.admit(None) is None


class FakeApi:
    """Lists one ConfigMap and plays watches from a script."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lists = 0
        self.watches: list[list[Document | Exception]] = []
        self.versions: list[str] = []
        self.failures = 0

    async def get(self, _path: str, params: Mapping[str, str]) -> Document:
        assert params == {"fieldSelector": "metadata.name=demo-main-0"}
        self.lists += 1
        if self.failures:
            self.failures -= 1
            raise ClusterUnavailableError("connection refused")
        return {"metadata": {"resourceVersion": "7"}, "items": [self.config_map(self.text)]}

    async def watch(self, _path: str, params: Mapping[str, str]) -> AsyncIterator[Document]:
        self.versions.append(params["resourceVersion"])
        script = self.watches.pop(0) if self.watches else []
        for event in script:
            if isinstance(event, Exception):
                raise event
            yield event
        if not self.watches:
            await asyncio.sleep(300)

    @staticmethod
    def config_map(text: str) -> Document:
        return {"data": {WORKER_CONFIG_KEY: text}}


def watch(api: FakeApi) -> ConfigMapWatch:
    return ConfigMapWatch(
        ConfigMapRef(namespace="feeds", name="demo-main-0"),
        build_gate()[0],
        api=cast("ClusterApi", api),
        clock=SystemClock(),
        rng=random.Random(1),  # noqa: S311 - jitter
        log=LOG,
    )


def modified(config: WorkerConfig) -> Document:
    return {"type": "MODIFIED", "object": FakeApi.config_map(render_worker_config(config))}


@pytest.mark.looptime
async def test_watch_yields_what_the_list_and_the_events_bring() -> None:
    api = FakeApi(render_worker_config(wanting("BTCUSDT")))
    api.watches = [
        [
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}},
            modified(wanting("BTCUSDT", "ETHUSDT")),
            {"type": "DELETED", "object": FakeApi.config_map("{")},
        ]
    ]
    changes = watch(api).changes()
    assert await anext(changes) == wanting("BTCUSDT")
    assert await anext(changes) == wanting("BTCUSDT", "ETHUSDT")
    assert api.versions == ["7"]


@pytest.mark.looptime
async def test_watch_that_ended_reads_the_object_again() -> None:
    api = FakeApi(render_worker_config(BASE))
    api.watches = [[], [ClusterRefusedError("/x", 410, "expired")], [modified(wanting("BTCUSDT"))]]
    assert await anext(watch(api).changes()) == wanting("BTCUSDT")
    assert api.lists == 3


@pytest.mark.looptime
async def test_watch_without_the_api_waits_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    api = FakeApi(render_worker_config(wanting("BTCUSDT")))
    api.failures = 5
    assert await anext(watch(api).changes()) == wanting("BTCUSDT")
    assert [record.getMessage() for record in caplog.records] == [Event.CONFIG_UNREACHABLE]
    assert api.lists == 6


@pytest.mark.looptime
async def test_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "worker.yaml"
    path.write_text(render_worker_config(BASE))
    changes = FileWatch(path, build_gate()[0], clock=SystemClock()).changes()

    async def edit() -> None:
        await asyncio.sleep(3)
        path.unlink()
        await asyncio.sleep(3)
        path.write_text("{ half a document")
        await asyncio.sleep(3)
        path.write_text(render_worker_config(wanting("BTCUSDT")))
        os.utime(path, ns=(1, 1))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(edit())
        assert await anext(changes) == wanting("BTCUSDT")
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=1.5)
