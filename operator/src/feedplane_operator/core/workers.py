"""Which feeders a FeedSource needs: one per account and shard, each with its configuration.

Must not know Kubernetes objects, but for reading back what a ConfigMap of ours says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.feed_source import Account, FeedSource, FeedState, VenueEndpoints
from feedplane_api.names import (
    CREDENTIALS_DIR,
    HTTP_PORT,
    LABEL_SHARD,
    SINKS_DIR,
    SPILL_DIR,
    WORKER_CONFIG_KEY,
    publisher_lease_name,
    worker_name,
)
from feedplane_api.sinks import Sink
from feedplane_api.worker import (
    AccountIdentity,
    BufferConfig,
    ConfigMapRef,
    ElectionConfig,
    Endpoints,
    FailoverMode,
    FeedSourceIdentity,
    FileSinkConfig,
    Limits,
    PostgresSinkConfig,
    SessionConfig,
    SinkConfig,
    Wanted,
    WorkerConfig,
    config_hash,
    parse_worker_config,
)
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Ref
from feedplane_operator.core.shards import assign_shards
from feedplane_operator.core.wanted import (
    Expansion,
    expand_subscription,
    keep_previous,
    merge_wanted,
)

SPILL_MEBIBYTES: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One feeder: an account's part of a shard."""

    account: Account
    preference: int
    shard: int
    running: bool
    name: str
    config: WorkerConfig
    config_hash: str
    """Hash of the whole configuration: what a feeder that has taken it over reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Should:
    """The should-list of a FeedSource."""

    wanted: Mapping[str, Wanted]
    shards: Mapping[str, int]
    expansions: Mapping[str, Expansion]
    """By the name of the Subscription."""

    @property
    def pairs(self) -> int:
        """Pairs of instrument and channel."""
        return sum(len(line.channels) for line in self.wanted.values())

    @property
    def shard_numbers(self) -> tuple[int, ...]:
        """The shards there are; one at least, since a feeder is who tells the venue's list."""
        return tuple(sorted(set(self.shards.values()))) or (0,)


def plan_should(feed_source: FeedSource, observed: Observed) -> Should:
    """Return what is wanted of a FeedSource and where each instrument belongs."""
    previous, shards = read_assignment(observed.children)
    expansions = [
        (subscription, expand_subscription(subscription, observed.listing, previous))
        for subscription in observed.subscriptions
    ]
    wanted = merge_wanted(expansions)
    if observed.broken_subscriptions:
        wanted = keep_previous(wanted, previous)
    cap = feed_source.spec.sharding.max_instruments_per_shard
    return Should(
        wanted=wanted,
        shards=assign_shards(wanted, shards, cap),
        expansions={entry.metadata.name: expansion for entry, expansion in expansions},
    )


def plan_workers(feed_source: FeedSource, should: Should) -> tuple[Worker, ...]:
    """Return every feeder, by shard and then by preference."""
    accounts = order_accounts(feed_source)
    return tuple(
        _worker(feed_source, account, preference, shard, should)
        for shard in should.shard_numbers
        for preference, account in enumerate(accounts)
    )


def order_accounts(feed_source: FeedSource) -> tuple[Account, ...]:
    """Return the accounts by preference; the one a person wants active comes first."""
    spec = feed_source.spec
    return tuple(sorted(spec.accounts, key=lambda account: account.name != spec.active_account))


def read_assignment(children: Mapping[Ref, Manifest]) -> tuple[dict[str, Wanted], dict[str, int]]:
    """Return the should-list and the shards that the ConfigMaps in the cluster say."""
    wanted: dict[str, Wanted] = {}
    shards: dict[str, int] = {}
    for ref in sorted(children):
        child = children[ref]
        shard = child["metadata"].get("labels", {}).get(LABEL_SHARD, "")
        if ref.kind != "ConfigMap" or not shard.isdecimal():
            continue
        for line in _read_lines(child.get("data", {}).get(WORKER_CONFIG_KEY, "")):
            wanted.setdefault(line.symbol, line)
            shards.setdefault(line.symbol, int(shard))
    return wanted, shards


@lru_cache(maxsize=2048)
def _read_lines(text: str) -> tuple[Wanted, ...]:
    # A document somebody broke by hand says nothing; it is about to be written anew.
    try:
        return parse_worker_config(text).wanted
    except InvalidWorkerConfigError:
        return ()


def _worker(
    feed_source: FeedSource, account: Account, preference: int, shard: int, should: Should
) -> Worker:
    name = worker_name(feed_source.metadata.name, account.name, shard)
    mine = (line for symbol, line in should.wanted.items() if should.shards[symbol] == shard)
    config = _config(feed_source, account, preference, shard, mine)
    spec = feed_source.spec
    standby_stopped = preference > 0 and spec.failover.mode is FailoverMode.COLD
    return Worker(
        account=account,
        preference=preference,
        shard=shard,
        running=spec.state is FeedState.RUNNING and not standby_stopped,
        name=name,
        config=config,
        config_hash=config_hash(config),
    )


def _config(
    feed_source: FeedSource,
    account: Account,
    preference: int,
    shard: int,
    wanted: Iterable[Wanted],
) -> WorkerConfig:
    metadata, spec = feed_source.metadata, feed_source.spec
    failover, feeder = spec.failover, spec.feeder
    return WorkerConfig(
        feed_source=FeedSourceIdentity(
            namespace=metadata.namespace, name=metadata.name, uid=metadata.uid
        ),
        venue=spec.venue,
        account=AccountIdentity(name=account.name, preference=preference),
        shard=shard,
        endpoints=_endpoints(spec.endpoints, account.endpoints),
        credentials_path=CREDENTIALS_DIR if account.credentials_secret_ref else None,
        wanted=tuple(wanted),
        session=SessionConfig(
            stale_after_seconds=failover.stale_after_seconds,
            minimum_coverage_percent=failover.minimum_coverage_percent,
            replay_buffer_seconds=failover.replay_buffer_seconds,
        ),
        limits=Limits.model_validate(spec.limits.model_dump()),
        sinks=tuple(_sink(sink) for sink in spec.sinks),
        buffer=BufferConfig(spill_path=SPILL_DIR, spill_mebibytes=SPILL_MEBIBYTES),
        election=ElectionConfig(
            namespace=metadata.namespace,
            lease_name=publisher_lease_name(metadata.name, shard),
            mode=failover.mode,
            lease_duration_seconds=failover.lease_duration_seconds,
            renew_deadline_seconds=failover.renew_deadline_seconds,
            retry_period_seconds=failover.retry_period_seconds,
        ),
        config_map=ConfigMapRef(
            namespace=metadata.namespace, name=worker_name(metadata.name, account.name, shard)
        ),
        http_port=HTTP_PORT,
        log_format=feeder.log_format,
        log_level=feeder.log_level.value.upper(),
    )


def _endpoints(source: VenueEndpoints | None, account: VenueEndpoints | None) -> Endpoints:
    # What the account names comes before what the FeedSource names.
    merged: dict[str, str] = {}
    for level in (source, account):
        if level is not None:
            merged.update(level.model_dump(by_alias=False, exclude_none=True))
    return Endpoints.model_validate(merged)


def _sink(sink: Sink) -> SinkConfig:
    if sink.postgres is not None:
        postgres = sink.postgres
        return PostgresSinkConfig(
            name=sink.name,
            dsn_path=f"{SINKS_DIR}/{sink.name}/{postgres.dsn_secret_ref.key}",
            schema_name=postgres.schema_name,
            chunk_interval_hours=postgres.chunk_interval_hours,
        )
    if sink.file is not None:
        return FileSinkConfig(name=sink.name, path=sink.file.path)
    raise ValueError(f"sink {sink.name} is of a kind that the checks let through by mistake")
