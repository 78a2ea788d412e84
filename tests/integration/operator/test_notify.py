"""Webhooks on a real HTTP server: tried again, given up in time, the address never told."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from support_resources import JsonDict, feed_source, subscription

from feedplane_api.notification import NotificationBody
from feedplane_operator.core.plan import Manifest, Note, Ref
from feedplane_operator.errors import (
    ClusterError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from feedplane_operator.events import EventReason
from feedplane_operator.notify import PAUSES_SECONDS, QUEUED, Notifier

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TOKEN = "canary-4711"  # noqa: S105 - to be searched for, and worth nothing
FAILED_OVER = Note(reason=EventReason.FAILOVER_COMPLETED, message="account b publishes")
BANNED = Note(reason=EventReason.ACCOUNT_BANNED, message="account a", warning=True)


class Hook:
    """An HTTP server that refuses as often as it is told."""

    def __init__(self) -> None:
        self.refusals: list[int] = []
        self.taken: list[JsonDict] = []
        self.asked = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.json()
        if self.refusals:
            return web.Response(status=self.refusals.pop(0), headers={"Location": "/elsewhere"})
        self.taken.append(body)
        return web.Response(status=204)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    application = web.Application()
    application.add_routes([web.post("/{token}", made.answer)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


class Secrets:
    """A cluster that knows one Secret, or fails as it is told."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.error: ClusterError | None = None
        self.read: list[Ref] = []

    async def get(self, ref: Ref) -> Manifest:
        self.read.append(ref)
        if self.error is not None:
            raise self.error
        return {"data": {"url": base64.b64encode(self.value.encode()).decode()}}


class Bench:
    """A Notifier with what it slept and what it posted."""

    def __init__(self, secrets: Secrets) -> None:
        self.slept: list[float] = []
        self.posted: list[Note] = []
        cluster: Any = secrets
        self.notifier = Notifier(cluster, lambda: NOW, self._post, self._sleep)

    def _post(self, resource: Manifest, note: Note) -> None:
        self.posted.append(note)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def tell(self, *notes: Note, resource: JsonDict | None = None, **entry: Any) -> None:
        """Tell, and wait until each notification was delivered or given up."""
        notification = {
            "name": "desk",
            "webhook": {"urlSecretRef": {"name": "hook"}},
            **entry,
        }
        feed = feed_source("spot", notifications=[notification])
        before = _total()
        self.notifier.tell(resource or feed, feed, notes)
        task = asyncio.create_task(self.notifier.run())
        async with asyncio.timeout(20):
            while _total() < before + len(notes):  # noqa: ASYNC110 - the metric is what is asked
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])


def _count(outcome: str) -> float:
    name = "feedplane_operator_notifications_total"
    return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0.0


def _total() -> float:
    return sum(_count(outcome) for outcome in ("delivered", "failed", "dropped"))


async def test_notification_arrives_in_the_documented_shape(hook: Hook) -> None:
    secrets = Secrets(hook.url)
    bench = Bench(secrets)
    await bench.tell(FAILED_OVER)
    (body,) = hook.taken
    schema = NotificationBody.model_json_schema(by_alias=True, mode="serialization")
    jsonschema.validate(body, schema)
    assert (body["notice"], body["reason"]) == ("FailedOver", "FailoverCompleted")
    assert body["feedSource"]["name"] == "spot"
    assert secrets.read == [Ref("Secret", "default", "hook")]
    assert bench.slept == []


async def test_refused_notification_is_tried_again_with_the_same_id(
    hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.refusals = [500, 503, 302]
    bench = Bench(Secrets(hook.url))
    before = _count("delivered")
    await bench.tell(BANNED)
    assert hook.asked == 4
    assert len(hook.taken) == 1
    assert bench.slept == list(PAUSES_SECONDS[:3])
    assert bench.posted == []
    assert _count("delivered") == before + 1
    assert TOKEN not in json.dumps(hook.taken) + capsys.readouterr().err


async def test_dead_address_is_given_up_and_told_without_naming_it(
    hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.refusals = [500] * 99
    bench = Bench(Secrets(hook.url))
    before = _count("failed")
    await bench.tell(BANNED)
    assert bench.slept == list(PAUSES_SECONDS)
    (note,) = bench.posted
    assert (note.reason, note.warning) == (EventReason.NOTIFICATION_FAILED, True)
    assert note.message == "notification desk could not be told AccountBanned: HTTP 500"
    assert _count("failed") == before + 1
    assert TOKEN not in note.message + capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        pytest.param("", NotFoundError("GET", 404, ""), "there is no Secret hook", id="no secret"),
        pytest.param(
            "", RefusedError("GET", 403, ""), "the operator may not read Secret hook", id="no right"
        ),
        pytest.param(
            "",
            UnreachableError("GET", 0, ""),
            "Secret hook cannot be read: UnreachableError",
            id="no API server",
        ),
        pytest.param(
            "ftp://host/x", None, "key url of Secret hook holds no http address", id="no address"
        ),
        pytest.param("http://[", None, "key url of Secret hook holds no http address", id="broken"),
        pytest.param(
            "http://127.0.0.1:1/canary-4711", None, "ClientConnectorError", id="nobody listens"
        ),
    ],
)
async def test_address_that_cannot_be_used_is_told_by_its_cause(
    value: str, error: ClusterError | None, said: str
) -> None:
    secrets = Secrets(value)
    secrets.error = error
    bench = Bench(secrets)
    await bench.tell(BANNED)
    (note,) = bench.posted
    assert note.message == f"notification desk could not be told AccountBanned: {said}"


async def test_subscription_is_told_to_the_hooks_of_its_feed_source(hook: Hook) -> None:
    lost = Note(reason=EventReason.COVERAGE_LOST, message="BTCUSDT is mute", warning=True)
    await Bench(Secrets(hook.url)).tell(lost, resource=subscription("majors", "spot"))
    assert hook.taken[0]["resource"]["kind"] == "Subscription"
    assert hook.taken[0]["severity"] == "Warning"


async def test_what_nobody_asked_for_is_told_to_nobody(hook: Hook) -> None:
    bench = Bench(Secrets(hook.url))
    ready = Note(reason=EventReason.BECAME_READY, message="all is well")
    feed = feed_source("spot", notifications=[])
    bench.notifier.tell(feed, feed, (ready, BANNED))
    bench.notifier.tell(feed, None, (BANNED,))
    await bench.tell(FAILED_OVER)
    assert [body["notice"] for body in hook.taken] == ["FailedOver"]


async def test_full_queue_drops_and_counts(hook: Hook) -> None:
    bench = Bench(Secrets(hook.url))
    entry = {"name": "desk", "webhook": {"urlSecretRef": {"name": "hook"}}}
    feed = feed_source("spot", notifications=[entry])
    before = _count("dropped")
    bench.notifier.tell(feed, feed, (BANNED,) * (QUEUED + 3))
    assert _count("dropped") == before + 3
