"""Coverage: for each wanted channel whether it is live, and if not why.

A channel is live once it was acknowledged and has delivered a frame, until it is mute: silent
for longer than its own rate explains, with the configured limit as the floor (`core/pulse.py`).
Time counts only while it is acknowledged on an open connection.

A channel that was acknowledged and has never delivered anything has no rate to be judged by. It
is named Stale with reason NeverDelivered once the limit has passed: from outside, a stream that
the venue forgot and one in which nothing trades look the same, and a tape that says "live" for
the first would lie, while "stale" for the second is no more than what is known. It is asked for
again, alone, at growing intervals, so a truly quiet instrument costs next to nothing; with its
first frame it is live and its rate is learned.

When frames come back right after the channel was asked for again, the silence was the venue's
fault and is not learned; when they come back by themselves later, the stream is quiet by nature
and the silence is learned, so the same silence is not suspicious a second time.

While its market is closed nothing can be missed: an acknowledged channel is live, and its silence
begins anew with the next open.

Pure: time is an argument. Must not know connections.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from feedplane_api.worker import ChannelState
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.pulse import Pulse
from feedplane_feeder.core.sessions import Sessions

CURE_NS: Final = 2_000_000_000
"""Frames within this time of asking again mean that asking helped."""
RESUBSCRIBE_CAP_NS: Final = 300_000_000_000
NEW_NS: Final = 15_000_000_000
"""So long a channel that is newly wanted may take to be confirmed and to deliver."""


class Reason(StrEnum):
    """Why a wanted channel is not live."""

    AWAITING_CONNECTION = "AwaitingConnection"
    AWAITING_ACKNOWLEDGEMENT = "AwaitingAcknowledgement"
    AWAITING_FIRST_FRAME = "AwaitingFirstFrame"
    NEVER_DELIVERED = "NeverDelivered"
    MUTE = "Mute"
    NOT_LISTED = "NotListed"
    NOT_TRADING = "NotTrading"
    NOT_SUPPORTED = "NotSupported"
    VENUE_REFUSED = "VenueRefused"
    NO_SESSION_LEFT = "NoSessionLeft"


@dataclass(slots=True)
class Covered:
    """One wanted channel. `state` None means live."""

    pulse: Pulse
    state: ChannelState | None
    reason: str
    since_ns: int
    acknowledged: bool = False
    ever_delivered: bool = False
    again_ns: int = 0
    """When to ask for it again while it stays mute."""
    wait_ns: int = 0
    asked_ns: int = 0
    new_ns: int | None = None
    """Since when it is wanted, or can be had again; None once it has delivered."""


@dataclass(slots=True)
class Sweep:
    """What changed since the last look."""

    stale: list[Channel] = field(default_factory=list)
    """Newly mute."""
    resubscribe: list[Channel] = field(default_factory=list)
    """To be asked for again, each alone."""
    recovered: list[Channel] = field(default_factory=list)


class Coverage:
    """All wanted channels of one feeder."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        """When the instruments trade."""
        self._channels: dict[Channel, Covered] = {}
        self._recovered: list[Channel] = []

    def want(self, channels: Iterable[Channel], now_ns: int) -> None:
        """Set the wanted channels; what was wanted before keeps its state."""
        wanted = set(channels)
        for channel in [known for known in self._channels if known not in wanted]:
            del self._channels[channel]
        for channel in sorted(wanted.difference(self._channels)):
            self._channels[channel] = Covered(
                Pulse(now_ns),
                ChannelState.PENDING,
                Reason.AWAITING_CONNECTION,
                now_ns,
                new_ns=now_ns,
            )

    def exclude(self, channel: Channel, state: ChannelState, reason: str, now_ns: int) -> bool:
        """Say that a wanted channel cannot be had; True when that is news."""
        covered = self._channels.get(channel)
        if covered is None or (covered.state, covered.reason) == (state, reason):
            return False
        covered.acknowledged = False
        _set(covered, state, reason, now_ns)
        return True

    def include(self, channel: Channel, now_ns: int) -> None:
        """Say that an excluded channel can be had again."""
        covered = self._channels.get(channel)
        if covered is not None and covered.state in _EXCLUDED:
            covered.new_ns = now_ns
            _set(covered, ChannelState.PENDING, Reason.AWAITING_CONNECTION, now_ns)

    def is_excluded(self, channel: Channel) -> bool:
        """Tell whether a channel is not to be waited for: refused, retired or not wanted."""
        covered = self._channels.get(channel)
        return covered is None or covered.state in _EXCLUDED

    def requested(self, channel: Channel, now_ns: int) -> None:
        """Tell that the channel's connection is open and it is being subscribed."""
        covered = self._channels.get(channel)
        if covered is not None and covered.reason == Reason.AWAITING_CONNECTION:
            _set(covered, ChannelState.PENDING, Reason.AWAITING_ACKNOWLEDGEMENT, now_ns)

    def acknowledged(self, channel: Channel, now_ns: int) -> None:
        """Tell that the venue confirmed the channel."""
        covered = self._channels.get(channel)
        if covered is None or covered.acknowledged:
            return
        covered.acknowledged = True
        covered.pulse.start(now_ns)
        if covered.state in (None, ChannelState.PENDING):
            _set(covered, ChannelState.PENDING, Reason.AWAITING_FIRST_FRAME, now_ns)

    def disconnected(self, channel: Channel, now_ns: int) -> None:
        """Tell that the channel's connection is gone."""
        covered = self._channels.get(channel)
        if covered is None or covered.state in _EXCLUDED:
            return
        covered.acknowledged = False
        _set(covered, ChannelState.PENDING, Reason.AWAITING_CONNECTION, now_ns)

    def delivered(self, channel: Channel, frames: int, now_ns: int) -> None:
        """Tell that the channel delivered that many frames since the last call."""
        covered = self._channels.get(channel)
        if covered is None or frames <= 0 or covered.state in _EXCLUDED:
            return
        cured = covered.state is ChannelState.STALE and now_ns - covered.asked_ns <= CURE_NS
        opened_ns = self.sessions.opened_ns(now_ns, channel.symbol)
        if opened_ns is not None:
            covered.pulse.open(opened_ns)
        covered.pulse.beat(frames, now_ns, learn=not cured and opened_ns is not None)
        covered.ever_delivered = True
        if covered.state is ChannelState.STALE:
            self._recovered.append(channel)
        if covered.state is not None:
            covered.wait_ns = 0
            covered.new_ns = None
            _set(covered, None, "", now_ns)

    def sweep(self, now_ns: int, stale_after_ns: int) -> Sweep:
        """Judge every acknowledged channel; call it at least once a second."""
        sweep = Sweep(recovered=self._recovered)
        self._recovered = []
        for channel, covered in self._channels.items():
            if not covered.acknowledged or covered.state in _EXCLUDED:
                continue
            opened_ns = self.sessions.opened_ns(now_ns, channel.symbol)
            if opened_ns is None:
                if covered.state is not None:
                    _set(covered, None, "", now_ns)
                continue
            covered.pulse.open(opened_ns)
            if covered.state is ChannelState.STALE:
                if now_ns >= covered.again_ns:
                    self._ask_again(channel, covered, sweep, now_ns)
            elif covered.pulse.is_mute(now_ns, stale_after_ns):
                reason = Reason.MUTE if covered.ever_delivered else Reason.NEVER_DELIVERED
                _set(covered, ChannelState.STALE, reason, now_ns)
                covered.wait_ns = stale_after_ns
                sweep.stale.append(channel)
                self._ask_again(channel, covered, sweep, now_ns)
        return sweep

    def count_new(self, now_ns: int) -> int:
        """Return how many pending channels are wanted too shortly to be missed."""
        return sum(
            covered.state is ChannelState.PENDING
            and covered.new_ns is not None
            and now_ns - covered.new_ns < NEW_NS
            for covered in self._channels.values()
        )

    def is_market_open(self, now_ns: int) -> bool:
        """Tell whether anything that is wanted trades now."""
        symbols = (channel.symbol for channel in self._channels)
        return not self._channels or self.sessions.is_any_open(now_ns, symbols)

    def items(self) -> Iterable[tuple[Channel, Covered]]:
        """Return every wanted channel with what is known about it."""
        return self._channels.items()

    def state(self, channel: Channel) -> ChannelState | None:
        """Return the state of a wanted channel, None when it is live.

        Raises:
            KeyError: the channel is not wanted.
        """
        return self._channels[channel].state

    def find_state(self, channel: Channel) -> ChannelState | None:
        """Return the state of a channel, None when it is live or not wanted any more."""
        covered = self._channels.get(channel)
        return covered.state if covered else None

    def _ask_again(self, channel: Channel, covered: Covered, sweep: Sweep, now_ns: int) -> None:
        sweep.resubscribe.append(channel)
        covered.asked_ns = now_ns
        covered.again_ns = now_ns + covered.wait_ns
        covered.wait_ns = min(2 * covered.wait_ns, max(RESUBSCRIBE_CAP_NS, covered.wait_ns))


_EXCLUDED: Final = (ChannelState.REFUSED, ChannelState.RETIRED)


def _set(covered: Covered, state: ChannelState | None, reason: str, now_ns: int) -> None:
    covered.state = state
    covered.reason = reason
    covered.since_ns = now_ns
