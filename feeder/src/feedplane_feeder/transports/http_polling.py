"""HTTP polling: a connection that asks again and again, at fixed phases.

Looks like any other connection: each answer's body is a frame, behind a line that names the
poll. The session's `PollPlan` says what to ask. Must not know what the answers say.
"""

import asyncio
from collections.abc import Mapping

import aiohttp

from feedplane_feeder.core.polling import (
    SECOND_NS,
    AnswerHead,
    HttpTerms,
    Poll,
    PollSchedule,
    frame_answer,
    parse_plan,
)
from feedplane_feeder.core.ports import Clock, StreamListener
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.transports.http_answers import AnswerJudge
from feedplane_feeder.waiting import wait_for_event


class PollingConnection:
    """See `StreamConnection`."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        headers: Mapping[str, str],
        listener: StreamListener,
        judge: AnswerJudge,
        clock: Clock,
    ) -> None:
        self._read_ns = clock.now_ns()
        self._http = http
        self._headers = headers
        self._listener = listener
        self._judge = judge
        self._clock = clock
        self._schedule = PollSchedule(judge.terms.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._paused = False
        self._end: str | None = None
        self._failures = 0

    @property
    def last_read_ns(self) -> int:
        """See `StreamConnection`: while nothing is asked on purpose no answer can be missing."""
        return max(self._read_ns, min(self._schedule.rest_until_ns, self._clock.now_ns()))

    async def run(self) -> str:
        """See `StreamConnection`."""
        try:
            async with asyncio.TaskGroup() as group:
                while self._end is None:
                    self._send_due(group)
                    await self._wait()
                for task in self._tasks:
                    task.cancel()
        finally:
            await self._http.close()
        return self._end

    def send(self, text: str) -> None:
        """See `StreamConnection`; takes a `PollPlan`."""
        self._schedule.adopt(parse_plan(text), self._clock.now_ns())
        self._changed.set()

    def pause_reading(self) -> None:
        """See `StreamConnection`: nothing is asked; what is missed meanwhile counts as late."""
        self._paused = True

    def resume_reading(self) -> None:
        """See `StreamConnection`."""
        self._paused = False
        self._changed.set()

    def rest(self, until_ns: int) -> None:
        """See `RestingConnection`."""
        before_ns = self._schedule.rest_until_ns
        self._schedule.rest(until_ns, self._clock.now_ns())
        if self._schedule.rest_until_ns != before_ns:
            self._changed.set()

    async def close(self) -> None:
        """See `StreamConnection`."""
        self._finish("closed by us")
        await self._http.close()

    async def fetch(self, url: str) -> bytes:
        """Return the body of an answer.

        Raises:
            VenueUnavailableError: there was none that can be used.
        """
        headers = {**self._headers, **self._judge.terms.headers}
        with self._judge.watch(url):
            async with self._http.get(url, headers=headers, allow_redirects=False) as answer:
                body = await answer.read()
                self._judge.check_status(url, answer.status, answer.headers)
                return body

    def _send_due(self, group: asyncio.TaskGroup) -> None:
        if self._paused:
            return
        for poll in self._schedule.take_due(self._clock.now_ns()):
            task = group.create_task(self._poll(poll))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wait(self) -> None:
        next_ns = None if self._paused else self._schedule.next_ns()
        seconds = None
        if next_ns is not None:
            seconds = max(0.0, (next_ns - self._clock.now_ns()) / SECOND_NS)
        await wait_for_event(self._changed, seconds)
        self._changed.clear()

    async def _poll(self, poll: Poll) -> None:
        answered = False
        try:
            body = await self.fetch(poll.url)
        except VenueUnavailableError as error:
            self._fail(error)
        else:
            answered = True
            if self._end is None:
                self._deliver(poll, body)
        finally:
            self._schedule.done(poll.key, answered=answered)
            self._changed.set()

    def _deliver(self, poll: Poll, body: bytes) -> None:
        self._failures = 0
        self._read_ns = self._clock.now_ns()
        head = AnswerHead(poll.key, self._schedule.take_late())
        self._listener.frames_received([frame_answer(head, body)], self._read_ns)

    # A venue that throttles or refuses is not asked any further: the next connect waits it out.
    def _fail(self, error: VenueUnavailableError) -> None:
        self._failures += 1
        final = isinstance(error, VenueThrottledError | CredentialsRefusedError)
        if final or self._failures >= self._judge.terms.failures_max:
            self._finish(str(error))

    def _finish(self, reason: str) -> None:
        self._end = self._end or reason
        self._changed.set()


class PollingTransport:
    """See `Transport`. Opening a connection asks once, so that a refusal shows at once."""

    def __init__(self, terms: HttpTerms, clock: Clock) -> None:
        self._clock = clock
        self._judge = AnswerJudge(terms, clock)

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> PollingConnection:
        """See `Transport`."""
        self._judge.check_cooldown(url)
        terms = self._judge.terms
        http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=terms.timeout_seconds),
            connector=aiohttp.TCPConnector(limit=terms.concurrency),
            trust_env=True,
        )
        connection = PollingConnection(http, headers, listener, self._judge, self._clock)
        try:
            await connection.fetch(url)
        except BaseException:
            await http.close()
            raise
        return connection
