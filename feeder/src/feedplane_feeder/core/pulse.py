"""Pulse: how long a stream that delivers at its own rate may be silent before it counts as mute.

A quiet stream must not be called mute for being quiet, nor a busy one be waited for as long as a
quiet one. So the longest silence seen so far is kept (slowly forgotten), and a silence is
suspicious when it is longer than that by a factor. With gaps that fall at random (a Poisson
stream) the longest of n gaps grows like log(n), and the factor below keeps the chance of a false
alarm near e**-9 for each gap, whether three gaps were seen or a million. The configured limit is
always the floor; nothing is called mute earlier. Must not know channels or connections.
"""

from math import log
from typing import Final

CERTAINTY: Final = 9.0
"""False alarms happen about once in e**CERTAINTY gaps of a stream that is random."""
FORGET_NS: Final = 3_600_000_000_000
"""The longest silence loses half of its length in this time."""
MANY: Final = 1_000_000
DENSE: Final = 10
"""A stream whose longest silence is this many times shorter than the limit is dense."""


class Pulse:
    """The beats of one stream. Fed with counts, not with every beat."""

    __slots__ = ("_beats", "_last_ns", "_longest_ns", "_since_ns")

    def __init__(self, now_ns: int) -> None:
        self._since_ns = now_ns
        self._last_ns: int | None = None
        self._longest_ns = 0.0
        self._beats = 0

    @property
    def last_ns(self) -> int | None:
        """When it last beat, None before the first."""
        return self._last_ns

    def start(self, now_ns: int) -> None:
        """Begin to wait now (acknowledged, or connected again); what was learned stays."""
        self._since_ns = now_ns

    def open(self, opened_ns: int) -> None:
        """Take down when the market opened: silence before then is none of the stream's."""
        self._since_ns = max(self._since_ns, opened_ns)

    def beat(self, count: int, now_ns: int, *, learn: bool = True) -> None:
        """Note that the stream delivered `count` frames since the last call.

        `learn` is False when the silence before was a fault and not the stream's own way.
        """
        if self._last_ns is not None and learn and now_ns > self._last_ns:
            elapsed = now_ns - max(self._last_ns, self._since_ns)
            self._longest_ns *= 0.5 ** ((now_ns - self._last_ns) / FORGET_NS)
            self._longest_ns = max(self._longest_ns, elapsed / count)
        self._last_ns = now_ns
        self._beats = min(self._beats + count, MANY)

    def silence_ns(self, now_ns: int) -> int:
        """Return how long nothing has come, since the last beat or since `start`."""
        return now_ns - max(self._last_ns or 0, self._since_ns)

    def limit_ns(self, floor_ns: int) -> int:
        """Return the silence from which the stream is mute."""
        if self._beats < 2:
            return floor_ns
        factor = 1.0 + CERTAINTY / log(self._beats + 2)
        return max(floor_ns, int(self._longest_ns * factor))

    def is_dense(self, floor_ns: int) -> bool:
        """Tell whether its silences are normally far shorter than the limit."""
        return self._beats >= 2 and self._longest_ns * DENSE < floor_ns

    def is_mute(self, now_ns: int, floor_ns: int) -> bool:
        """Tell whether the present silence is too long."""
        return self.silence_ns(now_ns) >= self.limit_ns(floor_ns)
