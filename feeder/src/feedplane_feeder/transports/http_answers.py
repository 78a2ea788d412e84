"""What plain HTTP answers mean for a session: served, refused, banned, or no answer at all.

Used by the transports that poll and that read server-sent events. Must not know venues.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp

from feedplane_feeder.core.polling import Cooldown, HttpTerms
from feedplane_feeder.core.ports import Clock
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.transports.handshake import parse_retry_after


class AnswerJudge:
    """Reads a venue's answers, over all connections of a feeder."""

    def __init__(self, terms: HttpTerms, clock: Clock) -> None:
        self.terms = terms
        self._clock = clock
        self._cooldown = Cooldown(terms)

    def check_cooldown(self, url: str) -> None:
        """Pass when the venue may be asked.

        Raises:
            VenueBannedError: not now.
        """
        left = self._cooldown.left_seconds(self._clock.now_ns())
        if left > 0:
            raise VenueBannedError(url, self._cooldown.reason, left)

    def check_status(self, url: str, status: int, headers: Mapping[str, str]) -> None:
        """Pass when the request was served.

        Raises:
            VenueThrottledError: 429; the pause holds for all connections.
            VenueBannedError: the address is refused for a while.
            CredentialsRefusedError: the login is.
            VenueUnavailableError: anything else that is no answer.
        """
        if status == 200:
            self._cooldown.answered()
            return
        reason, now_ns, told = f"HTTP {status}", self._clock.now_ns(), "Retry-After" in headers
        if status in self.terms.login_statuses:
            raise CredentialsRefusedError(url, reason)
        if status == 429 or (status in self.terms.ban_statuses and told):
            seconds = parse_retry_after(headers.get("Retry-After"))
            self._cooldown.ban(now_ns, reason, seconds)
            kind = VenueThrottledError if status == 429 else VenueBannedError
            raise kind(url, reason, seconds)
        if status in self.terms.ban_statuses:
            raise VenueBannedError(url, reason, self._cooldown.ban(now_ns, reason))
        raise VenueUnavailableError(url, reason)

    @contextmanager
    def watch(self, url: str) -> Iterator[None]:
        """Turn what aiohttp raises into our errors.

        Raises:
            VenueBannedError: one connection too many was cut off without an answer.
            VenueUnavailableError: no answer.
        """
        try:
            yield
        except (aiohttp.ServerDisconnectedError, ConnectionResetError) as error:
            now_ns = self._clock.now_ns()
            if self._cooldown.unanswered(now_ns):
                left = self._cooldown.left_seconds(now_ns)
                raise VenueBannedError(url, self._cooldown.reason, left) from error
            raise VenueUnavailableError(url, _tell(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise VenueUnavailableError(url, _tell(error)) from error


def _tell(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
