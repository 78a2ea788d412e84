"""Each kind of sink configuration has its sink."""

import pytest
from prometheus_client import CollectorRegistry
from support_sinks import LoopClock

from feedplane_api.worker import FileSinkConfig, PostgresSinkConfig, WorkerConfig
from feedplane_feeder.log import get_log
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.sinks.factory import build_housekeepers, build_sink


def test_build_sink_knows_every_kind() -> None:
    sinks = (FileSinkConfig(path="-"), PostgresSinkConfig(name="tape", dsn_env="DSN"))
    worker = WorkerConfig(venue="binance-spot", sinks=sinks)
    built = [build_sink(config, worker) for config in sinks]
    assert [(sink.kind, sink.name) for sink in built] == [("file", "file"), ("postgres", "tape")]


@pytest.mark.parametrize(
    ("terms", "keepers"),
    [({}, 0), ({"retention_days": 30}, 1), ({"compress_after_days": 7}, 1)],
    ids=["nothing asked", "retention", "compression"],
)
def test_housekeepers_are_those_of_databases_that_ask(terms: dict[str, int], keepers: int) -> None:
    sinks = (FileSinkConfig(path="-"), PostgresSinkConfig(dsn_env="DSN", **terms))
    worker = WorkerConfig(venue="binance-spot", sinks=sinks)
    metrics, log = Metrics(CollectorRegistry()), get_log("test")
    built = build_housekeepers(worker, lambda: True, LoopClock(), metrics, log)
    assert len(built) == keepers
