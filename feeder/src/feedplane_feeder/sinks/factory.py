"""One place that knows every kind of sink by its configuration."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

from feedplane_api.backfill_worker import BackfillConfig
from feedplane_api.worker import FileSinkConfig, PostgresSinkConfig, SinkConfig, WorkerConfig
from feedplane_feeder.core.ports import Clock, Sink
from feedplane_feeder.core.repair_ledger import RepairLedger
from feedplane_feeder.log import FieldLog
from feedplane_feeder.metrics import Metrics

if TYPE_CHECKING:
    from feedplane_feeder.sinks.postgres_budget import PostgresBudgets
    from feedplane_feeder.sinks.postgres_history import PostgresHistory
    from feedplane_feeder.sinks.postgres_retention import Housekeeper
    from feedplane_feeder.sinks.postgres_volumes import PostgresVolumes


def build_sink(config: SinkConfig, worker: WorkerConfig) -> Sink:
    """Return the sink of a configuration; drivers are loaded only where they are used."""
    if isinstance(config, FileSinkConfig):
        from feedplane_feeder.sinks.file import FileSink

        return FileSink(config)
    from feedplane_feeder.sinks.postgres import PostgresSink

    return PostgresSink(
        config,
        **_identity(worker),
    )


def build_ledgers(worker: WorkerConfig) -> tuple[RepairLedger, ...]:
    """Return the ledgers of a configuration; files have none that could be changed."""
    from feedplane_feeder.sinks.postgres_repair import PostgresRepair

    return tuple(
        PostgresRepair(
            config,
            **_identity(worker),
        )
        for config in worker.sinks
        if isinstance(config, PostgresSinkConfig)
    )


def build_housekeepers(
    worker: WorkerConfig,
    is_active: Callable[[], bool],
    clock: Clock,
    metrics: Metrics,
    log: FieldLog,
) -> "tuple[Housekeeper, ...]":
    """Return who keeps the databases of a configuration that ask for retention."""
    kept = [
        config
        for config in worker.sinks
        if isinstance(config, PostgresSinkConfig)
        and (config.retention_days is not None or config.compress_after_days is not None)
    ]
    if not kept:
        return ()
    from feedplane_feeder.sinks.postgres_retention import Housekeeper, PostgresRetention

    told = _identity(worker)
    stores = (PostgresRetention(config, clock=clock, **told) for config in kept)
    return tuple(Housekeeper(store, is_active, clock, metrics, log) for store in stores)


def build_volumes(config: PostgresSinkConfig, worker: WorkerConfig) -> "PostgresVolumes":
    """Return where the volumes on the tape can be counted."""
    from feedplane_feeder.sinks.postgres_volumes import PostgresVolumes

    return PostgresVolumes(
        config,
        **_identity(worker),
    )


def build_budgets(worker: WorkerConfig) -> "PostgresBudgets | None":
    """Return where all who use the same database keep the venue's budget; None without one."""
    shared = [config for config in worker.sinks if isinstance(config, PostgresSinkConfig)]
    return build_budget_store(shared[0], worker.venue) if shared else None


def build_budget_store(config: PostgresSinkConfig, venue: str) -> "PostgresBudgets":
    """Return the budgets in one database."""
    from feedplane_feeder.sinks.postgres_budget import PostgresBudgets

    return PostgresBudgets(config, venue=venue, feed_source="", account="budget")


def build_history_store(config: BackfillConfig) -> "PostgresHistory":
    """Return the store of a backfill."""
    from feedplane_feeder.sinks.postgres_history import PostgresHistory

    return PostgresHistory(
        config.sink,
        venue=config.venue,
        feed_source=f"{config.feed_source.namespace}/{config.feed_source.name}",
        backfill=config.key,
        lanes=config.lanes,
    )


class _Identity(TypedDict):
    venue: str
    feed_source: str
    account: str
    shard: int


# Who writes, as all that a worker keeps in a database is told.
def _identity(worker: WorkerConfig) -> _Identity:
    return _Identity(
        venue=worker.venue,
        feed_source=f"{worker.feed_source.namespace}/{worker.feed_source.name}",
        account=worker.account.name,
        shard=worker.shard,
    )
