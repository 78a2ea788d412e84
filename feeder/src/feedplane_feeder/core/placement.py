"""Placement of channels on connections: what is placed stays, what is new goes where room is.

A new instrument must neither reconnect nor move another one, so the present placement is an
argument. Must not know venues.
"""

from collections.abc import Callable, Mapping, Sequence

from feedplane_feeder.core.ports import Channel, ConnectionPlan


def place_channels(
    wanted: Sequence[Channel], current: Mapping[str, Sequence[Channel]], prefix: str, capacity: int
) -> dict[str, tuple[Channel, ...]]:
    """Return connection key -> channels, keys being `<prefix>-<number>`; empty ones are left out.

    Channels that are on a connection stay there, also when its capacity was lowered since.
    """
    unplaced = set(wanted)
    placed: dict[str, list[Channel]] = {}
    for key in sorted(current, key=_number):
        placed[key] = [channel for channel in current[key] if channel in unplaced]
        unplaced.difference_update(placed[key])
    number = 0
    for channel in sorted(unplaced):
        while len(placed.setdefault(f"{prefix}-{number}", [])) >= capacity:
            number += 1
        placed[f"{prefix}-{number}"].append(channel)
    return {key: tuple(channels) for key, channels in placed.items() if channels}


def plan_connections(
    wanted: Sequence[Channel],
    current: Sequence[ConnectionPlan],
    prefix: str,
    capacity: int,
    url: str | Callable[[Sequence[Channel]], str],
) -> tuple[ConnectionPlan, ...]:
    """Return a plan for each connection of `place_channels`; `url` may depend on its channels."""
    held = {plan.key: plan.channels for plan in current}
    return tuple(
        ConnectionPlan(
            key=key, url=url if isinstance(url, str) else url(channels), channels=channels
        )
        for key, channels in place_channels(wanted, held, prefix, capacity).items()
    )


def _number(key: str) -> int:
    return int(key.rpartition("-")[2])
