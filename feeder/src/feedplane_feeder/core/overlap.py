"""Overlap: which channels an old connection surely carried until a new one did.

Two sockets are read in any order, most of all by a process that is behind: that the new one's
confirmation was read before the old one's end does not say that it came first. Only an old
connection that was still read from a good while after a channel was confirmed on the new one
leaves no hole between the two. Where records bear no numbers nothing else would show it. Pure.
"""

from collections.abc import Mapping
from typing import Final

from feedplane_feeder.core.ports import Channel

OVERLAP_SECONDS: Final = 3.0
"""How long both connections are read once the new one carries every channel.

What the old one still has on its way was sent before the new one's first frames, so it must be
given time to arrive; quotes have no numbers that would show it missing.
"""
OVERLAP_NS: Final = int(OVERLAP_SECONDS * 1_000_000_000)
HEARD_NS: Final = 1_000_000_000
"""What came on the new one so long after its confirmation came on the old one, too, if it lived."""


def find_unsure(confirmed: Mapping[Channel, int], read_ns: int) -> list[Channel]:
    """Return the channels that neither connection may have carried for a moment.

    `confirmed` says when the new connection was granted each channel, `read_ns` when the old one,
    which ended, was read from last.
    """
    return [channel for channel, at_ns in confirmed.items() if read_ns < at_ns + OVERLAP_NS]


def is_stuck(confirmed: Mapping[Channel, int], read_ns: int, heard_ns: int) -> bool:
    """Tell whether the old connection, still open, brought nothing of what the new one did.

    `heard_ns` says when a record came on the new one last.
    """
    newest_ns = max(confirmed.values(), default=0)
    return read_ns < newest_ns and heard_ns >= newest_ns + HEARD_NS
