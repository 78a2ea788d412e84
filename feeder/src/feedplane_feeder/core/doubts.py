"""Doubts: mute channels that wait for their turn to be subscribed again, each alone.

Pure: time is an argument. Must not know connections, nor how a channel is found mute.
"""

from collections.abc import Callable, Mapping

from feedplane_api.worker import ChannelState
from feedplane_feeder.core.ports import Channel


class Doubts:
    """The mute channels of one connection."""

    def __init__(self) -> None:
        self._since_ns: dict[Channel, int] = {}

    def add(self, channel: Channel, now_ns: int) -> None:
        """Note a channel as mute; since the first time it was."""
        self._since_ns.setdefault(channel, now_ns)

    def take(
        self,
        find_state: Callable[[Channel], ChannelState | None],
        granted: Mapping[Channel, int],
        heard_ns: int,
    ) -> list[Channel]:
        """Return the channels to ask for now; others wait, or are mute no more.

        A connection that carried anything before is first waited for: on one that is stuck every
        channel looks mute, and all of them may come without being asked for. `heard_ns` says when
        it did last, 0 for never. What was `granted` since is asked for already.
        """
        stale = {
            channel: at_ns
            for channel, at_ns in self._since_ns.items()
            if find_state(channel) is ChannelState.STALE and granted.get(channel, 0) <= at_ns
        }
        asked = [channel for channel, at_ns in stale.items() if not heard_ns or heard_ns > at_ns]
        self._since_ns = {c: at_ns for c, at_ns in stale.items() if c not in asked}
        return asked
