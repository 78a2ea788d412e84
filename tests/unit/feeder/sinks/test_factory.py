"""Each kind of sink configuration has its sink."""

from feedplane_api.worker import FileSinkConfig, PostgresSinkConfig, WorkerConfig
from feedplane_feeder.sinks.factory import build_sink


def test_build_sink_knows_every_kind() -> None:
    sinks = (FileSinkConfig(path="-"), PostgresSinkConfig(name="tape", dsn_env="DSN"))
    worker = WorkerConfig(venue="binance-spot", sinks=sinks)
    built = [build_sink(config, worker) for config in sinks]
    assert [(sink.kind, sink.name) for sink in built] == [("file", "file"), ("postgres", "tape")]
