"""FeedSource: one venue reached through one or more accounts."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from feedplane_api.conditions import ConditionType
from feedplane_api.failover import AccountName, Failover
from feedplane_api.feed_source_status import AccountRole as AccountRole
from feedplane_api.feed_source_status import AccountStatus as AccountStatus
from feedplane_api.feed_source_status import FailoverStatus as FailoverStatus
from feedplane_api.feed_source_status import FeedCoverage as FeedCoverage
from feedplane_api.feed_source_status import FeedSourceStatus as FeedSourceStatus
from feedplane_api.feed_source_status import RolloutStatus as RolloutStatus
from feedplane_api.feeder_pod import FeederPod
from feedplane_api.names import Kind
from feedplane_api.resource import AGE, Column, Resource, condition_path, name_rule
from feedplane_api.schema import (
    DNS_LABEL,
    SET,
    ApiModel,
    ObjectName,
    Percent,
    Rule,
    RuleReason,
    SecretRef,
    StreamUrl,
    VenueUrl,
    WebUrl,
    cel_same,
    listed_by,
)
from feedplane_api.sinks import SecretKey, Sink
from feedplane_api.worker import FailoverMode

ALWAYS_OPEN = "AlwaysOpen"

Front = Annotated[str, Field(pattern=r"^(tcp|ssl)://[^\s@]+:[0-9]{1,5}$", max_length=128)]


class FeedState(StrEnum):
    """Whether the resource is at work."""

    RUNNING = "Running"
    PAUSED = "Paused"


class AccountState(StrEnum):
    """Whether an account may be used."""

    IN_SERVICE = "InService"
    MAINTENANCE = "Maintenance"


class Notice(StrEnum):
    """What a notification can be about."""

    FAILED_OVER = "FailedOver"
    FAILED_BACK = "FailedBack"
    GAP_OPENED = "GapOpened"
    GAP_FILLED = "GapFilled"
    ACCOUNT_BANNED = "AccountBanned"
    COVERAGE_LOST = "CoverageLost"
    QUALITY_BREACHED = "QualityBreached"


class VenueEndpoints(ApiModel):
    """Base URLs; what is unset is the venue's own."""

    stream: StreamUrl | None = None
    """Base URL of the stream, as `wss://stream.example:9443`."""
    rest: VenueUrl | None = None
    """Base URL of the REST interface."""
    archive: WebUrl | None = None
    """Base URL of the archive of past days."""


class Account(ApiModel):
    """One login, or one more line where the venue needs no login."""

    name: AccountName
    """Name of the account, of letters and digits; the names of its children are made from it."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with the login, one key per part as the venue's page in the reference names them;
    unset where the venue needs none."""
    endpoints: VenueEndpoints | None = None
    """Base URLs of this account, before those of the FeedSource."""
    fronts: Annotated[tuple[Front, ...], Field(max_length=8), SET] = ()
    """Front addresses to log in at, in order, as `tcp://192.0.2.1:41213`; for venues that have
    fronts."""
    state: AccountState = AccountState.IN_SERVICE
    """Maintenance hands its place over to another account and stops its feeders."""


class Sharding(ApiModel):
    """How instruments are spread over feeders."""

    max_instruments_per_shard: int = Field(default=500, ge=1, le=10_000)
    """Instruments one feeder carries; one more and there is another feeder."""


class MarketSession(ApiModel):
    """When the market is open."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"!has(self.restartBeforeOpenMinutes) || self.calendar != '{ALWAYS_OPEN}'",
            message="restartBeforeOpenMinutes needs a calendar that opens and closes",
            field=".restartBeforeOpenMinutes",
            holds=lambda session: (
                session.restart_before_open_minutes is None or session.calendar != ALWAYS_OPEN
            ),
        ),
    )

    calendar: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=32)] = (
        ALWAYS_OPEN
    )
    """Trading calendar, by market identifier code as `XNYS`; ChinaFutures knows day and night of
    every product, AlwaysOpen never closes. Silence is a fault only while it is open."""
    restart_before_open_minutes: Annotated[int, Field(ge=1, le=720)] | None = None
    """Renew each session this long before the market opens; unset does not."""
    check_days: int = Field(default=30, ge=0, le=30)
    """Look at so many whole days of the tape when a feeder starts, against the calendar; those
    that lack rows are logged, and fetched by Backfills where the venue has them. 0 skips it."""


class VenueLimits(ApiModel):
    """Budgets below the venue's own, for an address or account that something else uses too."""

    control_messages_per_second: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Messages sent on one connection per second; unset takes the venue's limit."""
    streams_per_connection: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Streams on one connection; unset takes the venue's limit."""
    connects_per_five_minutes: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Connections opened in five minutes; unset takes the venue's limit."""
    request_weight_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """REST request weight in a minute; unset takes the venue's limit."""
    sessions_per_account: Annotated[int, Field(ge=1, le=64)] | None = None
    """Logins an account may have at once; with 1 a Lease guards the login, so that no second one is
    ever tried. Unset keeps each feeder to the venue's limit, without that Lease."""
    backfill_share_percent: Percent = 50
    """Part of the REST budget that Backfills may use, 80 at most; repairs may go up to 80."""


class UrlSecretRef(ApiModel):
    """Key of a Secret that holds an address."""

    name: ObjectName
    """Name of the Secret, in the namespace of the FeedSource."""
    key: SecretKey = "url"
    """Key whose value is the address."""


class Webhook(ApiModel):
    """An address that gets a JSON document by POST."""

    url_secret_ref: UrlSecretRef
    """The Secret key that holds the address, which often carries a token."""


class Notification(ApiModel):
    """Someone to tell."""

    name: Annotated[str, Field(pattern=DNS_LABEL, min_length=1, max_length=20)]
    """Name of the entry, in events and metrics."""
    webhook: Webhook
    """Where to post."""
    notices: Annotated[tuple[Notice, ...], Field(max_length=7), SET] = ()
    """What to tell; unset tells everything."""


def _active_account_known(spec: "FeedSourceSpec") -> bool:
    names = {account.name for account in spec.accounts}
    return spec.active_account is None or spec.active_account in names


def _in_service(spec: "FeedSourceSpec") -> set[str]:
    return {account.name for account in spec.accounts if account.state is AccountState.IN_SERVICE}


def _active_account_serves(spec: "FeedSourceSpec") -> bool:
    names = {account.name for account in spec.accounts}
    return spec.active_account not in names or spec.active_account in _in_service(spec)


def _lines_differ(spec: "FeedSourceSpec") -> bool:
    lines = [
        (account.credentials_secret_ref.name, account.endpoints, account.fronts)
        for account in spec.accounts
        if account.credentials_secret_ref is not None
    ]
    return len(set(lines)) == len(lines)


def _mode_has_accounts(spec: "FeedSourceSpec") -> bool:
    return spec.failover.mode is FailoverMode.HOT or len(spec.accounts) > 1


class FeedSourceSpec(ApiModel):
    """What is wanted."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.venue == oldSelf.venue",
            message="venue cannot change: its tape is another one; create another FeedSource",
            field=".venue",
            reason=RuleReason.FORBIDDEN,
        ),
        Rule(
            cel="!has(self.activeAccount)"
            " || self.accounts.exists(account, account.name == self.activeAccount)",
            message="activeAccount must name one of accounts",
            field=".activeAccount",
            holds=_active_account_known,
        ),
        Rule(
            cel="!has(self.activeAccount) || !self.accounts.exists(account,"
            " account.name == self.activeAccount && account.state == 'Maintenance')",
            message="activeAccount must not be in Maintenance",
            field=".activeAccount",
            holds=_active_account_serves,
        ),
        Rule(
            cel="self.accounts.exists(account, account.state == 'InService')",
            message="one account at least must be InService; state Paused stops them all",
            field=".accounts",
            holds=lambda spec: bool(_in_service(spec)),
        ),
        Rule(
            cel="self.accounts.all(a, !has(a.credentialsSecretRef) || self.accounts.exists_one(b,"
            " has(b.credentialsSecretRef)"
            " && b.credentialsSecretRef.name == a.credentialsSecretRef.name"
            f" && {cel_same('endpoints', 'a', 'b')} && {cel_same('fronts', 'a', 'b')}))",
            message="two accounts with the same credentials need different endpoints or fronts",
            field=".accounts",
            holds=_lines_differ,
        ),
        Rule(
            cel="self.failover.mode == 'Hot' || self.accounts.size() > 1",
            message="modes Merged, Warm and Cold need two accounts at least",
            field=".failover.mode",
            holds=_mode_has_accounts,
        ),
    )

    venue: Annotated[str, Field(pattern=DNS_LABEL, min_length=1, max_length=32)]
    """Name of the venue's adapter, as `binance-spot`; it cannot change."""
    endpoints: VenueEndpoints | None = None
    """Base URLs in place of the venue's own, for a proxy or a simulator."""
    accounts: Annotated[tuple[Account, ...], Field(min_length=1, max_length=8), listed_by("name")]
    """Accounts in order of preference."""
    failover: Failover = Failover()
    """What the other accounts do, and when one takes over."""
    active_account: AccountName | None = None
    """The account a person wants active; unset leaves the choice to failover."""
    sharding: Sharding = Sharding()
    """How instruments are spread over feeders."""
    session: MarketSession = MarketSession()
    """When the market is open."""
    limits: VenueLimits = VenueLimits()
    """Budgets below the venue's own."""
    sinks: Annotated[tuple[Sink, ...], Field(min_length=1, max_length=4), listed_by("name")]
    """Where records go; each sink gets each record."""
    notifications: Annotated[tuple[Notification, ...], Field(max_length=8), listed_by("name")] = ()
    """Whom to tell of failovers, gaps and bans."""
    feeder: FeederPod = FeederPod()
    """How feeders run."""
    state: FeedState = FeedState.RUNNING
    """Paused stops the feeders and keeps everything else."""


class FeedSource(Resource):
    """One venue reached through one or more accounts."""

    kind: ClassVar[Kind] = Kind.FEED_SOURCE
    rules: ClassVar[tuple[Rule, ...]] = (
        name_rule(30, "its workers, Leases and Services are named after it"),
    )
    condition_types: ClassVar[tuple[ConditionType, ...]] = (
        ConditionType.ACCEPTED,
        ConditionType.READY,
        ConditionType.STREAMING,
        ConditionType.REDUNDANT,
        ConditionType.DEGRADED,
        ConditionType.PAUSED,
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Venue", ".spec.venue", "The venue."),
        Column("Ready", condition_path("Ready", "status"), "Whether it does what its spec asks."),
        Column("Active", ".status.activeAccount", "The account that publishes."),
        Column(
            "Coverage",
            ".status.coverage.percent",
            "Percent of what is wanted that is live.",
            type="integer",
        ),
        Column(
            "Lag", ".status.lagMilliseconds", "Milliseconds from event to receipt.", type="integer"
        ),
        Column("Failovers", ".status.failover.count", "Failovers so far.", type="integer"),
        AGE,
        Column(
            "Message", condition_path("Ready", "message"), "Why it is or is not ready.", priority=1
        ),
    )

    spec: FeedSourceSpec
    """What is wanted."""
    status: FeedSourceStatus = FeedSourceStatus()
    """What is."""
