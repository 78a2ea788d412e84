"""Standing: how the venue treats this account: refused, banned until when, or not answering.

A venue has two sides, its streams and its REST interface, and either may say no by itself. What
one side said holds until that side accepts the account again or the time it named is over. Pure:
time is an argument. Must not know why anybody asked.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Side(StrEnum):
    """The two sides of a venue."""

    STREAM = "stream"
    REST = "rest"


def stay_silent() -> None:
    """Stand in for whoever wants to be told."""


@dataclass(slots=True)
class Standing:
    """What the venue last said about this account, on each side."""

    on_refusal: Callable[[], None] = stay_silent
    """Told at once of what no waiting cures, so that nobody learns of it by the clock."""
    _refused: dict[Side, str] = field(default_factory=dict)
    _banned_until_ns: dict[Side, int] = field(default_factory=dict)
    _unreachable: dict[Side, str] = field(default_factory=dict)

    def refused(self, side: Side, message: str) -> None:
        """Take down that the credentials were refused."""
        self._refused[side] = message
        self.on_refusal()

    def banned(self, side: Side, until_ns: int) -> None:
        """Take down that nothing may be asked before then; a ban never becomes shorter."""
        self._banned_until_ns[side] = max(self._banned_until_ns.get(side, 0), until_ns)
        self.on_refusal()

    def unreachable(self, side: Side, message: str) -> None:
        """Take down that there was no usable answer."""
        self._unreachable[side] = message

    def accepted(self, side: Side) -> None:
        """Take down that the side served this account: what it said before is over."""
        self._refused.pop(side, None)
        self._banned_until_ns.pop(side, None)
        self._unreachable.pop(side, None)

    def renewed(self) -> None:
        """Forget refusals: there are new credentials, and nothing is known of them."""
        self._refused.clear()

    def refusal(self, side: Side) -> str | None:
        """Return what a side said when it refused the credentials, None when it did not."""
        return self._refused.get(side)

    def banned_until_ns(self, side: Side) -> int:
        """Return when a side may be asked again; in the past when it may be now."""
        return self._banned_until_ns.get(side, 0)

    def silence(self, side: Side) -> str | None:
        """Return why a side did not answer the last time, None when it did."""
        return self._unreachable.get(side)
