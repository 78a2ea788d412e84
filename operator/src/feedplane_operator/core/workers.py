"""Which feeders a FeedSource needs: one per account and shard, each with its configuration.

Must not know Kubernetes objects, but for reading back what a ConfigMap of ours says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.feed_source import (
    ALWAYS_OPEN,
    Account,
    AccountState,
    FeedSource,
    FeedSourceSpec,
    VenueEndpoints,
)
from feedplane_api.market_hours import MarketHours
from feedplane_api.names import (
    CREDENTIALS_DIR,
    HTTP_PORT,
    LABEL_SHARD,
    SINKS_DIR,
    SPILL_DIR,
    WORKER_CONFIG_KEY,
    account_lease_name,
    publisher_lease_name,
    worker_name,
)
from feedplane_api.sinks import PostgresSink, Sink
from feedplane_api.worker import (
    AccountIdentity,
    BufferConfig,
    ConfigMapRef,
    ElectionConfig,
    Endpoints,
    FailoverPolicy,
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
from feedplane_operator.core.roster import Roster
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
    restart: str = ""
    """The planned restart its Pod comes from; empty where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Should:
    """The should-list of a FeedSource."""

    wanted: Mapping[str, Wanted]
    shards: Mapping[str, int]
    expansions: Mapping[str, Expansion]
    """By the name of the Subscription."""
    hours: MarketHours | None = None
    """When the market trades; None where it never closes."""

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
        hours=_find_hours(feed_source, observed),
    )


def plan_workers(feed_source: FeedSource, should: Should, roster: Roster) -> tuple[Worker, ...]:
    """Return every feeder, by shard and then by preference."""
    return tuple(
        _worker(feed_source, preference, shard, should, running=roster[account.name].running)
        for shard in should.shard_numbers
        for preference, account in enumerate(feed_source.spec.accounts)
    )


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


def read_config(
    worker: str, namespace: str, children: Mapping[Ref, Manifest]
) -> WorkerConfig | None:
    """Return the configuration that a feeder's ConfigMap says; None where it says none."""
    child = children.get(Ref("ConfigMap", namespace, worker))
    return _parse(child.get("data", {}).get(WORKER_CONFIG_KEY, "")) if child else None


# Before the calendar was asked, what the feeders were told last goes on.
def _find_hours(feed_source: FeedSource, observed: Observed) -> MarketHours | None:
    if feed_source.spec.session.calendar == ALWAYS_OPEN:
        return None
    if observed.hours is not None:
        return observed.hours
    texts = (
        child.get("data", {}).get(WORKER_CONFIG_KEY, "")
        for ref, child in sorted(observed.children.items())
        if ref.kind == "ConfigMap"
    )
    told = (config.session.hours for config in map(_parse, texts) if config is not None)
    return next((hours for hours in told if hours is not None), None)


def _read_lines(text: str) -> tuple[Wanted, ...]:
    config = _parse(text)
    return config.wanted if config else ()


@lru_cache(maxsize=2048)
def _parse(text: str) -> WorkerConfig | None:
    # A document somebody broke by hand says nothing; it is about to be written anew.
    try:
        return parse_worker_config(text)
    except InvalidWorkerConfigError:
        return None


def single_session(feed_source: FeedSource) -> bool:
    """Return whether an account may be logged in once only."""
    return feed_source.spec.limits.sessions_per_account == 1


def _worker(
    feed_source: FeedSource, preference: int, shard: int, should: Should, *, running: bool
) -> Worker:
    account = feed_source.spec.accounts[preference]
    mine = (line for symbol, line in should.wanted.items() if should.shards[symbol] == shard)
    config = _config(feed_source, account, preference, shard, mine)
    # Without the hours that are still to come every night would look like a hole.
    always_open = feed_source.spec.session.calendar == ALWAYS_OPEN
    known = always_open or should.hours is not None
    days = _check_days(feed_source.spec) if known else 0
    told = {"hours": should.hours, "check_days": days}
    session = config.session.model_copy(update=told)
    config = config.model_copy(update={"session": session})
    return Worker(
        account=account,
        preference=preference,
        shard=shard,
        running=running,
        name=worker_name(feed_source.metadata.name, account.name, shard),
        config=config,
        config_hash=config_hash(config),
    )


# A day that retention took is not missing; files cannot be looked at.
def _check_days(spec: FeedSourceSpec) -> int:
    kept = [sink.postgres.retention_days for sink in spec.sinks if sink.postgres is not None]
    asked = spec.session.check_days if kept else 0
    return min([asked, *(days - 1 for days in kept if days is not None)])


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
        endpoints=_endpoints(spec, account),
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
            account_lease_name=account_lease_name(metadata.name, account.name)
            if single_session(feed_source)
            else None,
            mode=failover.mode,
            lease_duration_seconds=failover.lease_duration_seconds,
            renew_deadline_seconds=failover.renew_deadline_seconds,
            retry_period_seconds=failover.retry_period_seconds,
        ),
        policy=_policy(feed_source.spec),
        config_map=ConfigMapRef(
            namespace=metadata.namespace, name=worker_name(metadata.name, account.name, shard)
        ),
        http_port=HTTP_PORT,
        log_format=feeder.log_format,
        log_level=feeder.log_level.value.upper(),
    )


def _policy(spec: FeedSourceSpec) -> FailoverPolicy:
    failover = spec.failover
    return FailoverPolicy(
        accounts=tuple(account.name for account in spec.accounts),
        active_account=spec.active_account,
        maintenance=tuple(
            account.name for account in spec.accounts if account.state is AccountState.MAINTENANCE
        ),
        failback=failover.failback,
        failback_after_seconds=failover.failback_after_seconds,
        cooldown_seconds=failover.cooldown_seconds,
        failure_threshold=failover.failure_threshold,
        success_threshold=failover.success_threshold,
    )


# A venue with fronts is reached at all of an account's fronts, in their order.
def _endpoints(spec: FeedSourceSpec, account: Account) -> Endpoints:
    endpoints = merge_endpoints(spec.endpoints, account.endpoints)
    if not account.fronts:
        return endpoints
    return endpoints.model_copy(update={"stream": ",".join(account.fronts)})


def merge_endpoints(source: VenueEndpoints | None, account: VenueEndpoints | None) -> Endpoints:
    """Return the endpoints of an account: what it names comes before what the FeedSource names."""
    merged: dict[str, str] = {}
    for level in (source, account):
        if level is not None:
            merged.update(level.model_dump(by_alias=False, exclude_none=True))
    return Endpoints.model_validate(merged)


def postgres_config(name: str, postgres: PostgresSink) -> PostgresSinkConfig:
    """Return a database as a worker's configuration has it."""
    return PostgresSinkConfig(
        name=name,
        dsn_path=f"{SINKS_DIR}/{name}/{postgres.dsn_secret_ref.key}",
        schema_name=postgres.schema_name,
        chunk_interval_hours=postgres.chunk_interval_hours,
    )


# Feeders alone keep house; what a backfill is told does not change with it.
def _sink(sink: Sink) -> SinkConfig:
    if sink.postgres is not None:
        kept = {
            "retention_days": sink.postgres.retention_days,
            "compress_after_days": sink.postgres.compress_after_days,
        }
        return postgres_config(sink.name, sink.postgres).model_copy(update=kept)
    if sink.file is not None:
        return FileSinkConfig(name=sink.name, path=sink.file.path)
    raise ValueError(f"sink {sink.name} is of a kind that the checks let through by mistake")
