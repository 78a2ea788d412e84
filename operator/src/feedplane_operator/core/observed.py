"""Everything a reconcile may know, frozen at one moment.

Built by observe.py; must not know where any of it came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from feedplane_api.backfill_worker import BackfillReport
from feedplane_api.market_hours import MarketHours
from feedplane_api.subscription import Subscription
from feedplane_api.worker import FeederStatus
from feedplane_operator.core.backfill_pods import BackfillPod
from feedplane_operator.core.plan import Manifest, Ref
from feedplane_operator.core.pods import PodView


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the operator's own settings say of every feeder."""

    image: str = "feedplane/feeder:dev"
    image_pull_policy: str = "IfNotPresent"
    operator_namespace: str = "feedplane"
    network_policy: bool = True
    egress_ports: tuple[int, ...] = ()
    """TCP ports feeders may reach besides those that endpoints name."""
    rollout_deadline_seconds: int = 180
    """A replaced feeder that is not healthy by then holds the others back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """A publisher Lease as last listed."""

    holder: str = ""
    """Holder identity, `<account>/<pod>`; empty when nobody holds it."""
    epoch: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    duration_seconds: int = 0
    reason: str = ""

    @property
    def account(self) -> str:
        """The account part of the holder."""
        return self.holder.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederView:
    """What a feeder answered last; both fields are None until it was asked."""

    report: FeederStatus | None = None
    error: str | None = None
    """Why it does not answer, once it failed to for long enough to count."""
    early: bool = False
    """It was asked before its Pod was ready, so the error says nothing against it."""


UNASKED = FeederView()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillView:
    """What stands around one Backfill besides its children."""

    pods: tuple[BackfillPod, ...] = ()
    reports: Mapping[str, BackfillReport] = field(default_factory=dict)
    """What each Pod of the present run answered last, Pods that are gone among them."""
    most_workers: int = 16
    """Workers of all Backfills that may run at once."""
    free_workers: int = 16
    """Those that others leave to this one."""
    first: bool = True
    """Whether no other one has waited longer."""

    def may_start(self, workers: int) -> bool:
        """Return whether it is this one's turn."""
        return self.first and self.free_workers >= min(workers, self.most_workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What stands around one FeedSource, its own status apart."""

    defaults: Defaults = Defaults()
    feed_source: Manifest | None = None
    """The FeedSource a Subscription or Backfill refers to, as the cluster has it."""
    children: Mapping[Ref, Manifest] = field(default_factory=dict)
    subscriptions: tuple[Subscription, ...] = ()
    """The usable Subscriptions of the FeedSource, by name."""
    broken_subscriptions: tuple[str, ...] = ()
    """Names of those that cannot be used; their instruments stay as they are."""
    pods: Mapping[str, tuple[PodView, ...]] = field(default_factory=dict)
    """Pods by worker, newest first."""
    leases: Mapping[str, LeaseView] = field(default_factory=dict)
    feeders: Mapping[str, FeederView] = field(default_factory=dict)
    """Feeders by worker."""
    listing: Mapping[str, bool] | None = None
    """The venue's instruments and whether they trade; None until a feeder told."""
    taken_names: frozenset[Ref] = frozenset()
    """Children that could not be made, because an object of somebody else has the name."""
    account_rivals: Mapping[str, str] = field(default_factory=dict)
    """Accounts whose login an older FeedSource uses already, with its name."""
    subscription_names: frozenset[str] = frozenset()
    """Names of the Subscriptions a Backfill may refer to."""
    rollout_slots: int = 10
    """Feeders of this FeedSource that may be on their way at once."""
    restart_due: datetime | None = None
    """When sessions had to be renewed, from then until the market opens."""
    calendar_missing: bool = False
    """There is no calendar of the name in the spec."""
    hours: MarketHours | None = None
    """When its market trades; None where it never closes, and before the calendar was asked."""
    backfill: BackfillView = BackfillView()
    """Of a Backfill; all others have none."""
    conflicts: frozenset[int] = frozenset()
    """Shards for which two feeders have taken themselves for active over several polls."""
