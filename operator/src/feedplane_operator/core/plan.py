"""What a reconcile decides: objects to apply and delete, the status to write, events to post.

A Plan is a value: equal inputs give an equal Plan. Must not know how it is carried out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feedplane_operator.events import EventReason

Manifest = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as JSON gives it."""


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Where an object of a namespace lives."""

    kind: str
    namespace: str
    name: str


def ref_of(manifest: Manifest) -> Ref:
    """Return where a manifest's object lives."""
    metadata = manifest["metadata"]
    return Ref(manifest["kind"], metadata.get("namespace", ""), metadata["name"])


def made_at(manifest: Manifest) -> datetime | None:
    """Return when the API server made an object, to the second; None before it did."""
    return read_time(manifest["metadata"].get("creationTimestamp"))


def read_time(text: str | None) -> datetime | None:
    """Return a moment of a manifest; None where it is absent."""
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One Kubernetes event about the resource, worth a person's attention."""

    reason: EventReason
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything one reconcile wants done, in a fixed order."""

    apply: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    status: Manifest | None = None
    """The whole status to write; None when the one in the cluster says it already."""
    events: tuple[Note, ...] = ()
    requeue_after_seconds: float | None = None
    replacing: int = 0
    """Feeders that are being replaced, with those that this Plan begins to replace."""

    waiting: int = 0
    """Workers of a Backfill that waits for its turn; 0 when it does not."""
    starting: int = 0
    """Workers of a Backfill whose turn it is."""

    @property
    def writes_children(self) -> bool:
        """Whether anything but status and events is to be written."""
        return bool(self.apply or self.delete)
