"""Which events are worth a webhook's attention, and the document that tells them.

Must not know how it is sent.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource, Notice, Notification
from feedplane_api.notification import NotificationBody, ResourceIdentity, Severity
from feedplane_operator.core.plan import Manifest, Note
from feedplane_operator.events import EventReason

NOTICES: Final[Mapping[EventReason, Notice]] = {
    EventReason.FAILOVER_COMPLETED: Notice.FAILED_OVER,
    EventReason.FAILBACK_COMPLETED: Notice.FAILED_BACK,
    EventReason.GAPS_OPENED: Notice.GAP_OPENED,
    EventReason.GAPS_CLOSED: Notice.GAP_FILLED,
    EventReason.ACCOUNT_BANNED: Notice.ACCOUNT_BANNED,
    EventReason.COVERAGE_LOST: Notice.COVERAGE_LOST,
    EventReason.QUALITY_BREACHED: Notice.QUALITY_BREACHED,
}


def address_notes(
    feed_source: Manifest, notes: Sequence[Note]
) -> Iterator[tuple[Notification, Note]]:
    """Yield each note with each notification of a FeedSource that wants it."""
    try:
        entries = FeedSource.parse(feed_source).spec.notifications
    except InvalidSpecError:
        return
    for note in notes:
        notice = NOTICES.get(note.reason)
        for entry in entries:
            if notice is not None and (not entry.notices or notice in entry.notices):
                yield entry, note


def render_notification(
    resource: Manifest, feed_source: Manifest, note: Note, now: datetime
) -> NotificationBody:
    """Return the document for a note that is worth telling."""
    spec: Any = feed_source.get("spec") or {}
    uid = resource["metadata"].get("uid", "")
    moment = now.replace(microsecond=0)
    identity = f"{uid}/{note.reason.value}/{note.message}/{moment.isoformat()}"
    return NotificationBody(
        id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        time=moment,
        notice=NOTICES[note.reason],
        severity=Severity.WARNING if note.warning else Severity.INFO,
        reason=note.reason.value,
        message=note.message or note.reason.sentence,
        venue=spec.get("venue", ""),
        feed_source=_identity(feed_source),
        resource=_identity(resource),
    )


def _identity(resource: Manifest) -> ResourceIdentity:
    metadata = resource["metadata"]
    return ResourceIdentity(
        api_version=resource["apiVersion"],
        kind=resource["kind"],
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
    )
