"""Webhooks: what a person wants to be told, as a JSON document by POST, tried again for a while.

The address often carries a token, so it is read from its Secret just in time, by name, and stands
in no log line, event or status. Must not know when something is worth telling.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from feedplane_api.feed_source import Notification
from feedplane_api.notification import NotificationBody
from feedplane_operator.cluster import Cluster
from feedplane_operator.core.notices import NOTICES, address_notes, render_notification
from feedplane_operator.core.plan import Manifest, Note, Ref
from feedplane_operator.errors import ClusterError, NotFoundError, RefusedError
from feedplane_operator.events import EventReason, LogEvent
from feedplane_operator.log import get_log
from feedplane_operator.metrics import NOTIFICATIONS

PAUSES_SECONDS: Final = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Between tries; after the last one a notification is given up."""
ANSWER_SECONDS: Final = 10.0
AT_ONCE: Final = 8
QUEUED: Final = 1_000
_LOG = get_log("notify")
Post = Callable[[Manifest, Note], None]


@dataclass(frozen=True, slots=True)
class _Delivery:
    feed_source: Manifest
    to: Notification
    body: NotificationBody


class Notifier:
    """Tells webhooks, a few at a time."""

    def __init__(
        self,
        cluster: Cluster,
        now: Callable[[], datetime],
        post: Post,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._now = now
        self._post = post
        self._sleep = sleep
        self._queue: asyncio.Queue[_Delivery] = asyncio.Queue(QUEUED)

    def tell(self, resource: Manifest, feed_source: Manifest | None, notes: Sequence[Note]) -> None:
        """Queue what a FeedSource wants told of the notes on a resource; a full queue drops it."""
        if feed_source is None or not any(note.reason in NOTICES for note in notes):
            return
        for entry, note in address_notes(feed_source, notes):
            body = render_notification(resource, feed_source, note, self._now())
            try:
                self._queue.put_nowait(_Delivery(feed_source, entry, body))
            except asyncio.QueueFull:
                NOTIFICATIONS.labels("dropped").inc()

    async def run(self) -> None:
        """Deliver what is queued, for ever."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(AT_ONCE):
                group.create_task(self._work(session))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self._deliver(session, await self._queue.get())

    async def _deliver(self, session: aiohttp.ClientSession, delivery: _Delivery) -> None:
        fields: dict[str, Any] = {
            "namespace": delivery.body.feed_source.namespace,
            "feed": delivery.body.feed_source.name,
            "notification": delivery.to.name,
            "notice": delivery.body.notice.value,
        }
        problem: str | None = None
        for pause in (0.0, *PAUSES_SECONDS):
            if pause:
                _LOG.info(LogEvent.NOTIFICATION_RETRIED, **fields, problem=problem)
                await self._sleep(pause)
            problem = await self._try(session, delivery)
            if problem is None:
                NOTIFICATIONS.labels("delivered").inc()
                _LOG.info(LogEvent.NOTIFICATION_SENT, **fields)
                return
        NOTIFICATIONS.labels("failed").inc()
        _LOG.warning(LogEvent.NOTIFICATION_FAILED, **fields, problem=problem)
        said = f"notification {delivery.to.name} could not be told {fields['notice']}: {problem}"
        note = Note(reason=EventReason.NOTIFICATION_FAILED, message=said, warning=True)
        self._post(delivery.feed_source, note)

    async def _try(self, session: aiohttp.ClientSession, delivery: _Delivery) -> str | None:
        # What went wrong, without the address; None when it was taken.
        namespace = delivery.body.feed_source.namespace
        ref = delivery.to.webhook.url_secret_ref
        try:
            secret = await self._cluster.get(Ref("Secret", namespace, ref.name))
        except NotFoundError:
            return f"there is no Secret {ref.name}"
        except RefusedError:
            return f"the operator may not read Secret {ref.name}"
        except ClusterError as error:
            return f"Secret {ref.name} cannot be read: {type(error).__name__}"
        url = _decode((secret.get("data") or {}).get(ref.key, ""))
        if url is None:
            return f"key {ref.key} of Secret {ref.name} holds no http address"
        text = delivery.body.model_dump_json(by_alias=True)
        headers = {"Content-Type": "application/json"}
        try:
            # A redirect would carry the document to an address that nobody named.
            async with session.post(
                url, data=text, headers=headers, allow_redirects=False
            ) as answer:
                return None if answer.ok and answer.status < 300 else f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__


def _decode(value: str) -> str | None:
    try:
        url = base64.b64decode(value, validate=True).decode().strip()
        parts = urlsplit(url)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None
