"""A FeedSource's status: who publishes, how each account does, how far a rollout is.

Must not know what is wanted.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from feedplane_api.conditions import Conditions, ConditionStatus
from feedplane_api.failover import AccountName
from feedplane_api.schema import (
    Count,
    Percent,
    ShortText,
    SmallCount,
    StatusModel,
    Time,
    listed_by,
)
from feedplane_api.worker import SessionState


class AccountRole(StrEnum):
    """What an account does now."""

    ACTIVE = "Active"
    STANDBY = "Standby"
    STOPPED = "Stopped"
    MAINTENANCE = "Maintenance"


class AccountStatus(StatusModel):
    """One account as its feeders report it."""

    name: AccountName
    """Name of the account."""
    role: AccountRole = AccountRole.STANDBY
    """Active publishes, Standby could, Stopped has no feeders, Maintenance was taken out."""
    session: SessionState
    """The worst session of the account's feeders."""
    healthy: ConditionStatus
    """The feeders' verdict; Unknown while they do not answer."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """Why, in one CamelCase word."""
    instruments: SmallCount = 0
    """Instruments the account carries."""
    failing_since_time: Time | None = None
    """Since when the account is not healthy; absent while it is or nobody knows."""


class FailoverStatus(StatusModel):
    """Who publishes, and since when."""

    epoch: Count = 0
    """Times the publisher Leases changed hands; it never goes back."""
    active: ShortText | None = None
    """The account that took over last; that of the first shard where they differ."""
    since_time: Time | None = None
    """When it took over."""
    reason: ShortText = ""
    """Why it took over, in one CamelCase word."""
    count: SmallCount = 0
    """Changes from one account to another so far, failbacks and switchovers among them."""
    last_duration_milliseconds: SmallCount | None = None
    """How long the data stood still at the last change, as the account that took over saw it."""


class RolloutStatus(StatusModel):
    """Feeders on their way to what the spec asks; absent while all of them are there."""

    revision: ShortText = ""
    """Short hash of what is asked; another one begins anew."""
    reason: ShortText = ""
    """SpecChanged, or PlannedRestart before the market opens."""
    feeders: SmallCount = 0
    """Feeders that should run."""
    started: SmallCount = 0
    """Those of them that were replaced."""
    updated: SmallCount = 0
    """Those of them that were replaced and are healthy."""
    since_time: Time | None = None
    """When one was last replaced or became healthy."""


class FeedCoverage(StatusModel):
    """Wanted instruments and channels, and how many are live."""

    wanted: SmallCount = 0
    """Pairs of instrument and channel that Subscriptions ask for."""
    live: SmallCount = 0
    """Those of them that deliver on the active account."""
    percent: Percent = 0
    """Live as a part of wanted, rounded down."""


class FeedSourceStatus(StatusModel):
    """What is."""

    observed_generation: Count | None = None
    """The metadata.generation last acted on."""
    conditions: Conditions = ()
    """Accepted, Ready, Streaming, Redundant, Degraded and Paused."""
    active_account: ShortText | None = None
    """The account that publishes."""
    accounts: Annotated[tuple[AccountStatus, ...], Field(max_length=8), listed_by("name")] = ()
    """Each account as its feeders report it."""
    failover: FailoverStatus | None = None
    """Who publishes, and since when."""
    rollout: RolloutStatus | None = None
    """Feeders on their way to what the spec asks; absent while all of them are there."""
    coverage: FeedCoverage | None = None
    """How much of what is wanted is live."""
    events_per_second: Count | None = None
    """Events received on the active account, rounded to two digits."""
    lag_milliseconds: Count | None = None
    """Median time from an event to its receipt, rounded to two digits."""
