"""The should-list of one feeder: which channels to subscribe, and why some wanted ones are not.

Must not know connections; what a venue lists and can do are arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feedplane_api.selectors import expand_selector
from feedplane_api.worker import ChannelState, Limits, WorkerConfig
from feedplane_feeder.core.coverage import Reason
from feedplane_feeder.core.ports import Capabilities, Channel, ConnectionPlan, VenueLimits


@dataclass(slots=True)
class ShouldList:
    """Channels to subscribe, and wanted ones that cannot be had."""

    channels: set[Channel] = field(default_factory=set)
    excluded: dict[Channel, tuple[ChannelState, Reason]] = field(default_factory=dict)

    def wanted(self) -> set[Channel]:
        """Return every wanted channel."""
        return self.channels.union(self.excluded)


def build_should_list(
    config: WorkerConfig, capabilities: Capabilities, listed: Mapping[str, bool] | None
) -> ShouldList:
    """Return what a configuration asks for.

    `listed` is the venue's list, symbol -> whether it trades now. None means it was not read
    yet: then every named symbol is taken on trust, and selectors wait. What a list without claim
    to be complete does not hold is taken on trust too.
    """
    should = ShouldList()
    for line in config.wanted:
        for name in line.channels:
            _sort_in(Channel(line.symbol, name), capabilities, listed, should)
    for selector in config.selectors:
        matching = expand_selector(
            selector.include, selector.exclude, selector.max_instruments, _trading(listed)
        )
        for symbol in matching:
            for name in selector.channels:
                _sort_in(Channel(symbol, name), capabilities, listed, should)
    return should


def tighten(limits: VenueLimits, wanted: Limits) -> VenueLimits:
    """Return the venue's limits, or the tighter ones of the configuration."""
    return VenueLimits(
        control_messages_per_second=_lower(
            limits.control_messages_per_second, wanted.control_messages_per_second
        ),
        streams_per_connection=_lower(limits.streams_per_connection, wanted.streams_per_connection),
        connects_per_five_minutes=_lower(
            limits.connects_per_five_minutes, wanted.connects_per_five_minutes
        ),
        request_weight_per_minute=_lower(
            limits.request_weight_per_minute, wanted.request_weight_per_minute
        ),
        connection_life_seconds=limits.connection_life_seconds,
        ping_timeout_seconds=limits.ping_timeout_seconds,
        sessions_per_account=_lowest(limits.sessions_per_account, wanted.sessions_per_account),
        source=limits.source,
    )


def seat_plans(
    plans: Sequence[ConnectionPlan], limits: VenueLimits
) -> tuple[tuple[ConnectionPlan, ...], tuple[Channel, ...]]:
    """Return the connections an account may have, and the channels that find no place then.

    The largest connections are kept: an account with fewer sessions than its channels need
    serves as many of them as it can.
    """
    sessions = limits.sessions_per_account
    if sessions is None or len(plans) <= sessions:
        return tuple(plans), ()
    by_size = sorted(plans, key=lambda plan: (-len(plan.channels), plan.key))
    kept = {plan.key for plan in by_size[:sessions]}
    left = [channel for plan in plans if plan.key not in kept for channel in plan.channels]
    return tuple(plan for plan in plans if plan.key in kept), tuple(left)


def _trading(listed: Mapping[str, bool] | None) -> list[str]:
    return [symbol for symbol, trading in (listed or {}).items() if trading]


def _sort_in(
    channel: Channel,
    capabilities: Capabilities,
    listed: Mapping[str, bool] | None,
    should: ShouldList,
) -> None:
    kind, _, interval = channel.name.partition("-")
    if kind not in capabilities.channels or (
        interval and interval not in capabilities.bar_intervals
    ):
        should.excluded[channel] = (ChannelState.REFUSED, Reason.NOT_SUPPORTED)
    elif listed is None or listed.get(channel.symbol, _is_partial(capabilities)):
        should.channels.add(channel)
    else:
        known = channel.symbol in listed
        reason = Reason.NOT_TRADING if known else Reason.NOT_LISTED
        should.excluded[channel] = (ChannelState.RETIRED, reason)


def _is_partial(capabilities: Capabilities) -> bool:
    return capabilities.instruments is not None and not capabilities.instruments.complete


def _lowest(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _lower(limit: int, wanted: int | None) -> int:
    return limit if wanted is None else min(limit, wanted)
