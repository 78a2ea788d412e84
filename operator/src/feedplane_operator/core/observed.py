"""Everything a reconcile may know, frozen at one moment.

Built by observe.py; must not know where any of it came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from feedplane_api.subscription import Subscription
from feedplane_api.worker import FeederStatus
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


UNASKED = FeederView()


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
    """Secrets of accounts that an older FeedSource uses already, with its name."""
    subscription_names: frozenset[str] = frozenset()
    """Names of the Subscriptions a Backfill may refer to."""
