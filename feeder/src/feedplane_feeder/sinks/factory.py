"""One place that knows every kind of sink by its configuration."""

from feedplane_api.worker import FileSinkConfig, SinkConfig, WorkerConfig
from feedplane_feeder.core.ports import Sink


def build_sink(config: SinkConfig, worker: WorkerConfig) -> Sink:
    """Return the sink of a configuration; drivers are loaded only where they are used."""
    if isinstance(config, FileSinkConfig):
        from feedplane_feeder.sinks.file import FileSink

        return FileSink(config)
    from feedplane_feeder.sinks.postgres import PostgresSink

    return PostgresSink(
        config,
        venue=worker.venue,
        feed_source=f"{worker.feed_source.namespace}/{worker.feed_source.name}",
        account=worker.account.name,
        shard=worker.shard,
    )
