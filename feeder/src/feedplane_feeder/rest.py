"""REST side of a venue: requests within the weight budget, 429 and 418 obeyed to the second.

Every answer's own count of used weight is taken over, since the venue counts per address. Must
not know what the answers say.
"""

import re
from collections.abc import Mapping
from typing import Final

import aiohttp

from feedplane_feeder.core.budget import Allowance, Pause, Priority
from feedplane_feeder.core.ports import Capabilities, Clock
from feedplane_feeder.core.standing import Side, Standing
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.transports.handshake import parse_retry_after

TIMEOUT_SECONDS: Final = 15.0


class RestClient:
    """One venue's REST interface. Use as an async context manager."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        budget: Allowance,
        capabilities: Capabilities,
        clock: Clock,
        standing: Standing | None = None,
    ) -> None:
        self.budget = budget
        self._standing = standing or Standing()
        self._capabilities = capabilities
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "RestClient":
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            trust_env=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, path: str, weight: int, priority: Priority = Priority.LIVE) -> bytes:
        """Return the body of a GET; waits until the budget has room.

        Raises:
            VenueThrottledError: 429; nothing more is asked before the pause has passed.
            VenueBannedError: 418.
            CredentialsRefusedError: the venue does not know the login.
            VenueUnavailableError: no usable answer.
        """
        minute = await self.budget.take(weight, priority)
        try:
            body = await self._get(f"{self._base_url}{path}", weight, minute)
        except VenueThrottledError:
            raise
        except CredentialsRefusedError as error:
            self._standing.refused(Side.REST, error.reason)
            raise
        except VenueUnavailableError as error:
            self._standing.unreachable(Side.REST, error.reason)
            raise
        self._standing.accepted(Side.REST)
        return body

    async def _get(self, url: str, weight: int, minute: int) -> bytes:
        assert self._session is not None  # noqa: S101 - used as a context manager
        told: int | None = None
        refused: VenueUnavailableError | None = None
        try:
            # The login among the headers may have changed since the last request.
            async with self._session.get(url, headers=self._headers) as response:
                body = await response.read()
                told = self._read_weight(response.headers)
                if response.status in (418, 429):
                    refused = self._throttled(url, response.status, response.headers, body)
                elif response.status != 200:
                    refused = self._refused(url, response.status, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # It may have been counted all the same.
            await self.budget.settle(weight, minute, None)
            raise VenueUnavailableError(url, f"{type(error).__name__}: {error}") from error
        await self.budget.settle(weight, minute, told, _find_pause(refused))
        if refused is not None:
            raise refused
        return body

    def _read_weight(self, headers: Mapping[str, str]) -> int | None:
        name = self._capabilities.used_weight_header
        used = headers.get(name, "") if name else ""
        return int(used) if used.isdecimal() else None

    def _refused(self, url: str, status: int, body: bytes) -> VenueUnavailableError:
        reason = f"HTTP {status}: {body[:200]!r}"
        pattern = self._capabilities.credentials_refused_pattern
        told = pattern is not None and re.search(pattern, body.decode("utf-8", "replace"))
        if status == 401 or told:
            return CredentialsRefusedError(url, reason)
        return VenueUnavailableError(url, reason)

    def _throttled(
        self, url: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> VenueThrottledError:
        now_ns = self._clock.now_ns()
        seconds = parse_retry_after(headers.get("Retry-After"))
        pattern = self._capabilities.banned_until_pattern
        told = re.search(pattern, body.decode("utf-8", "replace")) if pattern else None
        if told and "Retry-After" not in headers:
            seconds = max(0.0, int(told[1]) / 1e3 - now_ns / 1e9)
        banned = status == 418
        if banned:
            self._standing.banned(Side.REST, now_ns + int(seconds * 1e9))
        kind = VenueBannedError if banned else VenueThrottledError
        return kind(url, f"HTTP {status}", seconds)


def _find_pause(refused: VenueUnavailableError | None) -> Pause | None:
    if not isinstance(refused, VenueThrottledError):
        return None
    banned = isinstance(refused, VenueBannedError)
    return Pause(seconds=refused.retry_after_seconds, banned=banned)
