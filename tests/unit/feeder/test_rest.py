"""The REST side of a venue, with a scripted HTTP client and virtual time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from support_stage import LIMITS, LoopClock

from feedplane_feeder.allowance import LocalAllowance
from feedplane_feeder.core.budget import SECOND_NS
from feedplane_feeder.core.ports import Capabilities, TransportKind
from feedplane_feeder.core.standing import Side, Standing
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.rest import RestClient

pytestmark = pytest.mark.looptime

CAPABILITIES = Capabilities(
    channels=frozenset({"trade"}),
    transport=TransportKind.WEBSOCKET,
    limits=LIMITS,
    used_weight_header="X-Used",
    banned_until_pattern=r"banned until (\d{13})",
    credentials_refused_pattern=r'"code":-2015\b',
)


@dataclass
class Answer:
    """One scripted HTTP answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        return self.body


class FakeHttp:
    """Stands where aiohttp's session stands."""

    def __init__(self, **_: Any) -> None:
        self.closed = False
        self.answers: list[Answer | Exception] = []
        self.asked: list[tuple[float, str, dict[str, str]]] = []

    @asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        self.asked.append((asyncio.get_running_loop().time(), url, dict(headers)))
        answer = self.answers.pop(0) if self.answers else Answer()
        if isinstance(answer, Exception):
            raise answer
        yield answer

    async def close(self) -> None:
        self.closed = True


class Rig:
    """A client with everything around it."""

    def __init__(self, http: FakeHttp, *, limit: int = 100) -> None:
        self.http = http
        self.headers = {"X-Key": "k1"}
        self.standing = Standing()
        self.clock = LoopClock()
        self.budget = LocalAllowance(limit, self.clock)
        self.client = RestClient(
            "http://venue/", self.headers, self.budget, CAPABILITIES, self.clock, self.standing
        )


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    http = FakeHttp()
    monkeypatch.setattr(aiohttp, "ClientSession", lambda **_: http)
    made = Rig(http)
    async with made.client:
        yield made
    assert http.closed


async def test_answer_is_the_body_of_the_path(rig: Rig) -> None:
    rig.http.answers = [Answer(body=b"[1]")]
    assert await rig.client.fetch("/api?x=1", 1) == b"[1]"
    assert rig.http.asked == [(0.0, "http://venue/api?x=1", {"X-Key": "k1"})]


async def test_changed_login_is_sent_with_the_next_request(rig: Rig) -> None:
    await rig.client.fetch("/a", 1)
    rig.headers["X-Key"] = "k2"
    await rig.client.fetch("/a", 1)
    assert [headers["X-Key"] for _, _, headers in rig.http.asked] == ["k1", "k2"]


async def test_venues_own_count_of_weight_wins(rig: Rig) -> None:
    rig.http.answers = [Answer(headers={"X-Used": "95"})]
    await rig.client.fetch("/a", 1)
    assert rig.budget.used(rig.clock.now_ns()) == 95
    await rig.client.fetch("/a", 10)
    assert rig.http.asked[1][0] == pytest.approx(60)  # a second into the next minute of the clock


@pytest.mark.parametrize(
    ("status", "kind", "banned"),
    [(429, VenueThrottledError, False), (418, VenueBannedError, True)],
)
async def test_refused_request_pauses_as_long_as_told(
    rig: Rig, status: int, kind: type[VenueThrottledError], banned: bool
) -> None:
    rig.http.answers = [Answer(status=status, headers={"Retry-After": "30"})]
    with pytest.raises(kind) as refused:
        await rig.client.fetch("/a", 1)
    assert type(refused.value) is kind
    assert refused.value.retry_after_seconds == 30
    until_ns = rig.clock.now_ns() + 30 * SECOND_NS
    assert rig.standing.banned_until_ns(Side.REST) == (until_ns if banned else 0)
    await rig.client.fetch("/a", 1)
    assert rig.http.asked[1][0] == pytest.approx(31)  # whole seconds may have been cut off
    assert rig.standing.banned_until_ns(Side.REST) == 0


async def test_end_of_a_ban_is_read_from_its_text(rig: Rig) -> None:
    body = b'{"code":-1003,"msg":"IP banned until 0000000046000."}'
    rig.http.answers = [Answer(status=418, body=body)]
    with pytest.raises(VenueBannedError):
        await rig.client.fetch("/a", 1)
    assert rig.standing.banned_until_ns(Side.REST) == 46 * SECOND_NS


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(status=401), id="not known"),
        pytest.param(Answer(status=400, body=b'{"code":-2015,"msg":"x"}'), id="by its code"),
    ],
)
async def test_refused_login_is_told_apart(rig: Rig, answer: Answer) -> None:
    rig.http.answers = [answer]
    with pytest.raises(CredentialsRefusedError):
        await rig.client.fetch("/a", 1)
    assert rig.standing.refusal(Side.REST) is not None
    await rig.client.fetch("/a", 1)
    assert rig.standing.refusal(Side.REST) is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(status=503, body=b"busy"), id="server error"),
        pytest.param(Answer(status=400, body=b'{"code":-1121}'), id="another code"),
        pytest.param(aiohttp.ServerDisconnectedError(), id="hung up"),
        pytest.param(TimeoutError(), id="no answer in time"),
        pytest.param(OSError("no route"), id="no route"),
    ],
)
async def test_venue_without_a_usable_answer_is_unreachable(
    rig: Rig, answer: Answer | Exception
) -> None:
    rig.http.answers = [answer]
    with pytest.raises(VenueUnavailableError) as failed:
        await rig.client.fetch("/a", 1)
    assert type(failed.value) is VenueUnavailableError
    assert rig.standing.silence(Side.REST) is not None
    assert rig.standing.refusal(Side.REST) is None
    await rig.client.fetch("/a", 1)
    assert rig.standing.silence(Side.REST) is None


async def test_error_of_a_request_does_not_carry_the_login(rig: Rig) -> None:
    rig.http.answers = [Answer(status=503)]
    with pytest.raises(VenueUnavailableError) as failed:
        await rig.client.fetch("/a", 1)
    assert "k1" not in str(failed.value)
