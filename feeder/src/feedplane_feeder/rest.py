"""REST side of a venue: requests within the weight budget, 429 and 418 obeyed to the second.

Every answer's own count of used weight is taken over, since the venue counts per address. Must
not know what the answers say.
"""

import re
from collections.abc import Mapping
from typing import Final

import aiohttp

from feedplane_feeder.core.budget import WeightBudget
from feedplane_feeder.core.ports import Capabilities, Clock
from feedplane_feeder.errors import (
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
        budget: WeightBudget,
        capabilities: Capabilities,
        clock: Clock,
    ) -> None:
        self.budget = budget
        self._capabilities = capabilities
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "RestClient":
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            trust_env=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, path: str, weight: int) -> bytes:
        """Return the body of a GET; waits until the budget has room.

        Raises:
            VenueThrottledError: 429; nothing more is asked before the pause has passed.
            VenueBannedError: 418.
            VenueUnavailableError: no usable answer.
        """
        assert self._session is not None  # noqa: S101 - used as a context manager
        while wait_ns := self.budget.take(weight, self._clock.now_ns()):
            await self._clock.sleep(wait_ns / 1e9)
        url = f"{self._base_url}{path}"
        try:
            async with self._session.get(url) as response:
                body = await response.read()
                self._note_weight(response.headers)
                if response.status in (418, 429):
                    raise self._refused(url, response.status, response.headers, body)
                if response.status != 200:
                    raise VenueUnavailableError(url, f"HTTP {response.status}: {body[:200]!r}")
                return body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise VenueUnavailableError(url, f"{type(error).__name__}: {error}") from error

    def _note_weight(self, headers: Mapping[str, str]) -> None:
        name = self._capabilities.used_weight_header
        used = headers.get(name, "") if name else ""
        if used.isdecimal():
            self.budget.observe(int(used), self._clock.now_ns())

    def _refused(
        self, url: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> VenueThrottledError:
        now_ns = self._clock.now_ns()
        seconds = parse_retry_after(headers.get("Retry-After"))
        pattern = self._capabilities.banned_until_pattern
        told = re.search(pattern, body.decode("utf-8", "replace")) if pattern else None
        if told and "Retry-After" not in headers:
            seconds = max(0.0, int(told[1]) / 1e3 - now_ns / 1e9)
        banned = status == 418
        self.budget.pause(now_ns + int(seconds * 1e9), banned=banned)
        kind = VenueBannedError if banned else VenueThrottledError
        return kind(url, f"HTTP {status}", seconds)
