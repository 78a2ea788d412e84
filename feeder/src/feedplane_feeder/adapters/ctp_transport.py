"""The way to a CTP front: one child process per login, whose callbacks arrive as frames.

Credentials go through the child's standard input, never through its arguments or environment.
Must not know instruments or records.
"""

import asyncio
import json
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from feedplane_feeder.adapters.ctp_native import UNFIT_LOGIN
from feedplane_feeder.core.ports import Clock, StreamListener
from feedplane_feeder.errors import CredentialsRefusedError, VenueUnavailableError

CHILD: Final = (sys.executable, "-m", "feedplane_feeder.adapters.ctp_native")
LOAD_SECONDS: Final = 30.0
OPEN_SECONDS: Final = 15.0
END_SECONDS: Final = 2.0
READ_BYTES: Final = 1 << 18
BROKER_HEADER: Final = "X-CTP-Broker"
USER_HEADER: Final = "X-CTP-User"
PASSWORD_HEADER: Final = "X-CTP-Password"  # noqa: S105 - a name, no password
REFUSED_LOGINS: Final = frozenset({UNFIT_LOGIN, 3, 4, 9, 11, 12, 13, 14, 63, 64})
"""Error ids of a login that will not be accepted later either."""
DISCONNECTED: Final = {
    4097: "the read failed",
    4098: "the write failed",
    8193: "no heartbeat came",
    8194: "the heartbeat could not be sent",
    8195: "a bad message came",
}
LOCALE_ADVICE: Final = (
    "the native library ended its process while it was loaded; it needs the locale"
    " zh_CN.GB18030 (localedef -i zh_CN -f GB18030 zh_CN.GB18030, or LOCPATH)"
)


@dataclass(slots=True)
class _Child:
    """One process and what it said so far."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    folder: Path
    rest: bytearray = field(default_factory=bytearray)

    async def read(self) -> list[bytes]:
        """Return the frames of one read; none at the end."""
        while True:
            data = await self.reader.read(READ_BYTES)
            if not data:
                return []
            self.rest += data
            frames = take_frames(self.rest)
            if frames:
                return frames

    def ask(self, text: str) -> None:
        """Send one request."""
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(text.encode() + b"\n")

    def hang_up(self) -> None:
        """Ask it to end."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def kill(self) -> None:
        """End it at once; it may have ended by itself a moment ago."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def end(self) -> None:
        """End it, gently for a moment."""
        self.writer.close()
        self.hang_up()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.kill()
            await self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class CtpConnection:
    """See `StreamConnection`."""

    def __init__(
        self, child: _Child, early: Sequence[bytes], listener: StreamListener, clock: Clock
    ) -> None:
        self.last_read_ns = clock.now_ns()
        self._child = child
        self._early = list(early)
        self._listener = listener
        self._clock = clock
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._closed_by_us = False
        self._runs = False
        self._ended = asyncio.Event()

    async def run(self) -> str:
        """See `StreamConnection`."""
        self._runs = True
        try:
            frames = self._early
            while frames:
                self.last_read_ns = self._clock.now_ns()
                self._listener.frames_received(frames, self.last_read_ns)
                reason = find_end(frames)
                if reason is not None:
                    return reason
                await self._flowing.wait()
                frames = await self._child.read()
            return "closed by us" if self._closed_by_us else "the native library ended"
        finally:
            await self._child.end()
            self._ended.set()

    def send(self, text: str) -> None:
        """See `StreamConnection`."""
        self._child.ask(text)

    def pause_reading(self) -> None:
        """See `StreamConnection`."""
        self._flowing.clear()

    def resume_reading(self) -> None:
        """See `StreamConnection`."""
        self._flowing.set()

    async def close(self) -> None:
        """See `StreamConnection`."""
        self._closed_by_us = True
        self._flowing.set()
        if not self._runs:
            await self._child.end()
            return
        self._child.hang_up()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            self._child.kill()


class CtpTransport:
    """See `Transport`."""

    def __init__(
        self,
        clock: Clock,
        *,
        package: str,
        depth_bytes: int,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        self._clock = clock
        self._command = (*CHILD, package, str(depth_bytes))
        self._open_seconds = open_seconds

    async def connect(
        self, url: str, headers: Mapping[str, str], listener: StreamListener
    ) -> CtpConnection:
        """See `Transport`."""
        child = await self._start(url)
        try:
            early = await self._log_in(child, url, headers)
        except BaseException:
            await child.end()
            raise
        return CtpConnection(child, early, listener, self._clock)

    async def _start(self, url: str) -> _Child:
        folder = Path(tempfile.mkdtemp(prefix="feedplane-ctp-"))
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            ours.close()
            raise VenueUnavailableError(url, f"no process for the library: {error}") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_BYTES)
        return _Child(process, reader, writer, folder)

    async def _log_in(self, child: _Child, url: str, headers: Mapping[str, str]) -> list[bytes]:
        await self._await_loaded(child, url)
        login = {
            "brokerId": headers.get(BROKER_HEADER, ""),
            "userId": headers.get(USER_HEADER, ""),
            "password": headers.get(PASSWORD_HEADER, ""),
        }
        fronts = [front.strip() for front in url.split(",") if front.strip()]
        start = {"folder": f"{child.folder}/", "fronts": fronts, "login": login}
        child.ask(json.dumps(start))
        last = "no front answered"
        try:
            async with asyncio.timeout(self._open_seconds):
                while frames := await child.read():
                    for number, said in enumerate(map(_read, frames)):
                        if said.get("on") == "disconnected":
                            last = describe_end(said)
                        elif said.get("on") == "error":
                            last = f"{said['error']} {said['message']}"
                        elif said.get("on") == "login":
                            _check_login(said, url)
                            return frames[number:]
        except TimeoutError:
            raise VenueUnavailableError(url, last) from None
        raise VenueUnavailableError(url, "the native library ended")

    async def _await_loaded(self, child: _Child, url: str) -> None:
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                frames = await child.read()
        except TimeoutError:
            raise VenueUnavailableError(url, "the native library was not loaded in time") from None
        if not frames:
            code = await child.process.wait()
            why = LOCALE_ADVICE if code == -signal.SIGABRT else f"the process ended with {code}"
            raise VenueUnavailableError(url, why)
        problem = _read(frames[0]).get("message")
        if problem:
            raise VenueUnavailableError(url, str(problem))


def take_frames(data: bytearray) -> list[bytes]:
    """Take the whole frames off the front of what was read."""
    frames: list[bytes] = []
    at, end = 0, len(data)
    while at + 4 <= end:
        until = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if until > end:
            break
        frames.append(bytes(data[at + 4 : until]))
        at = until
    del data[:at]
    return frames


def find_end(frames: Sequence[bytes]) -> str | None:
    """Return why the connection is over, None while it goes on.

    The library would connect again by itself; a new login in a new process is as quick, and
    leaves one way only in which a connection begins.
    """
    for frame in frames:
        if frame.startswith(b'{"on": "disconnected"'):
            return describe_end(_read(frame))
    return None


def describe_end(said: Mapping[str, Any]) -> str:
    """Say in words why a front is gone."""
    reason = said.get("error", 0)
    return f"the front is gone: {DISCONNECTED.get(reason, 'unknown reason')} ({reason})"


def _check_login(said: Mapping[str, Any], url: str) -> None:
    error = said.get("error", 0)
    if error == 0:
        return
    reason = f"login error {error} {said.get('message', '')}".strip()
    if error in REFUSED_LOGINS:
        raise CredentialsRefusedError(url, reason)
    raise VenueUnavailableError(url, reason)


def _read(frame: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(frame) if frame[:1] == b"{" else {}
    return said
