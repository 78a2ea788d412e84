"""The document a webhook of `spec.notifications` gets by POST.

Must not know when one is sent or how.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from feedplane_api.contract import ContractModel
from feedplane_api.feed_source import Notice


class Severity(StrEnum):
    """How much it matters."""

    INFO = "Info"
    WARNING = "Warning"


class ResourceIdentity(ContractModel):
    """One resource in the cluster."""

    api_version: str
    """Group and version."""
    kind: str
    """Kind."""
    namespace: str
    """Namespace."""
    name: str
    """Name."""
    uid: str
    """Its uid, which no later resource of the name has."""


class NotificationBody(ContractModel):
    """One thing worth telling; fields may be added, none changes its meaning."""

    version: Literal[1] = 1
    """Version of this format."""
    id: str
    """The same in each try, so that one that arrives twice is known."""
    time: datetime
    """When it was noticed, UTC."""
    notice: Notice
    """What it is about."""
    severity: Severity
    """How much it matters."""
    reason: str
    """Reason of the Kubernetes event that says the same."""
    message: str
    """A sentence for people."""
    venue: str
    """Name of the venue's adapter."""
    feed_source: ResourceIdentity
    """The FeedSource whose notification this is."""
    resource: ResourceIdentity
    """What it happened to: the FeedSource itself or a Subscription of it."""
