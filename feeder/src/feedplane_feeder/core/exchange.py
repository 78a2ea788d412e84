"""What a venue is asked that has a past only, also over a connection of its own kind.

The venue's part is pure: it writes requests and reads answers; somebody else owns the sockets.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from feedplane_api.worker import Endpoints
from feedplane_feeder.core.history import History, Page
from feedplane_feeder.core.ports import VenueLimits


class Exchange(Protocol):
    """Requests and answers of one session: strictly one after the other, after a login."""

    def hello(self) -> bytes:
        """Return the login."""

    def goodbye(self) -> bytes:
        """Return the logout."""

    def request(self, path: str) -> bytes:
        """Return the request a page's path stands for."""

    def find_end(self, received: bytes) -> int | None:
        """Return where the first answer ends; None when more has to come.

        Raises:
            MalformedFrameError: no such answer.
        """

    def read(self, answer: bytes) -> bytes:
        """Return what a page's reader takes.

        Raises:
            MalformedFrameError: no such answer.
            VenueUnavailableError: the venue says no, or asks for a pause.
        """


class PastVenue(Protocol):
    """A venue without live data."""

    venue: str
    endpoints: Endpoints
    limits: VenueLimits
    history: History

    @property
    def exchange(self) -> Exchange | None:
        """How to talk to it; None where it answers plain HTTP."""

    def instrument_id(self, symbol: str) -> str:
        """Return the identity of a symbol."""


@runtime_checkable
class TradingDays(Protocol):
    """A history that can tell when its market was open."""

    def days_page(self, start_ns: int, end_ns: int) -> Page:
        """Return the page that holds the trading days of a range."""

    def rows_of_days(self, channel: str, days: Sequence[int]) -> int:
        """Return how many rows a complete channel has on so many days, midnights of its own."""
