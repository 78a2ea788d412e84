"""The configuration of a run's workers: what is wanted, of which days, into which database.

Must not know Kubernetes objects.
"""

from datetime import UTC, datetime, timedelta

from feedplane_api.backfill import Backfill
from feedplane_api.backfill_worker import BackfillConfig
from feedplane_api.conditions import Reason
from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource
from feedplane_api.names import CREDENTIALS_DIR, HTTP_PORT
from feedplane_api.selectors import expand_selector
from feedplane_api.sinks import PostgresSink
from feedplane_api.subscription import Subscription
from feedplane_api.worker import FeedSourceIdentity, Limits, Wanted
from feedplane_operator.core.backfill_runs import Run
from feedplane_operator.core.checks import Refusal
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.wanted import expand_subscription
from feedplane_operator.core.workers import merge_endpoints, postgres_config


def check_backfill(
    backfill: Backfill, observed: Observed
) -> tuple[FeedSource, Subscription | None] | Refusal:
    """Return what a Backfill refers to, or why it cannot run."""
    name = backfill.spec.feed_source_ref.name
    if observed.feed_source is None:
        return Reason.FEED_SOURCE_NOT_FOUND, f"spec.feedSourceRef.name: no FeedSource {name}"
    try:
        feed_source = FeedSource.parse(observed.feed_source)
    except InvalidSpecError:
        said = f"spec.feedSourceRef.name: see FeedSource {name}"
        return Reason.FEED_SOURCE_NOT_ACCEPTED, said
    if find_database(feed_source) is None:
        said = f"spec.feedSourceRef.name: FeedSource {name} has no postgres sink to write to"
        return Reason.UNSUPPORTED_SINK, said
    ref = backfill.spec.subscription_ref
    if ref is None:
        return feed_source, None
    for subscription in observed.subscriptions:
        if subscription.metadata.name == ref.name:
            return feed_source, subscription
    path = "spec.subscriptionRef.name"
    return Reason.SUBSCRIPTION_NOT_FOUND, f"{path}: no Subscription {ref.name}"


def find_database(feed_source: FeedSource) -> tuple[str, PostgresSink] | None:
    """Return the first database a FeedSource writes to, with its name."""
    for sink in feed_source.spec.sinks:
        if sink.postgres is not None:
            return sink.name, sink.postgres
    return None


def list_wanted(
    backfill: Backfill, subscription: Subscription | None, observed: Observed
) -> tuple[Wanted, ...] | None:
    """Return what a run fetches; None while the venue's instrument list is not known."""
    spec = backfill.spec
    if subscription is not None:
        expansion = expand_subscription(subscription, observed.listing, ())
        if expansion.awaiting_listing:
            return None
        channels = spec.channels or subscription.spec.channels
        symbols = expansion.symbols
    else:
        channels = spec.channels
        chosen: tuple[str, ...] = ()
        if spec.selector is not None:
            if observed.listing is None:
                return None
            selector, listing = spec.selector, observed.listing
            chosen = expand_selector(
                selector.include, selector.exclude, selector.max_instruments, listing
            )
        symbols = tuple(sorted({*spec.instruments, *chosen}))
    return tuple(Wanted(symbol=symbol, channels=tuple(sorted(channels))) for symbol in symbols)


def build_config(
    backfill: Backfill,
    feed_source: FeedSource,
    wanted: tuple[Wanted, ...],
    run: Run,
    started: datetime,
) -> BackfillConfig:
    """Build the configuration of a run's workers; a window ends with the day the run began on."""
    spec, metadata = backfill.spec, feed_source.metadata
    database = find_database(feed_source)
    if database is None:
        raise ValueError(f"FeedSource {metadata.name} has no database, which a check let through")
    account = feed_source.spec.accounts[0]
    start, end = _range(backfill, started)
    feeder = feed_source.spec.feeder
    return BackfillConfig(
        feed_source=FeedSourceIdentity(
            namespace=metadata.namespace, name=metadata.name, uid=metadata.uid
        ),
        name=backfill.metadata.name,
        run=run.name,
        venue=feed_source.spec.venue,
        endpoints=merge_endpoints(feed_source.spec.endpoints, account.endpoints),
        credentials_path=CREDENTIALS_DIR if account.credentials_secret_ref else None,
        wanted=wanted,
        start=start,
        end=end,
        mode=spec.mode,
        sources=spec.sources,
        workers=run.job.workers if run.job is not None else spec.parallelism,
        limits=Limits.model_validate(feed_source.spec.limits.model_dump()),
        sink=postgres_config(*database),
        http_port=HTTP_PORT,
        log_format=feeder.log_format,
        log_level=feeder.log_level.value.upper(),
    )


def _range(backfill: Backfill, started: datetime) -> tuple[datetime, datetime]:
    fixed, window = backfill.spec.range, backfill.spec.window
    if fixed is not None:
        return fixed.start, fixed.end
    days = window.last_days if window is not None else 1
    end = started.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return end - timedelta(days=days), end
