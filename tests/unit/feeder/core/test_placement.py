from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core.placement import place_channels
from feedplane_feeder.core.ports import Channel

CHANNELS = st.builds(
    Channel,
    st.text("ABCD", min_size=1, max_size=3),
    st.sampled_from(["trade", "quote", "book", "bar-1m"]),
)


@given(st.sets(CHANNELS, max_size=40), st.integers(min_value=1, max_value=7))
def test_placement_from_nothing_holds_each_channel_once(
    wanted: set[Channel], capacity: int
) -> None:
    placed = place_channels(sorted(wanted), {}, "market", capacity)
    flat = [channel for channels in placed.values() for channel in channels]
    assert sorted(flat) == sorted(wanted)
    assert all(1 <= len(channels) <= capacity for channels in placed.values())
    assert set(placed) == {f"market-{number}" for number in range(len(placed))}


@given(
    st.sets(CHANNELS, max_size=30),
    st.sets(CHANNELS, max_size=30),
    st.integers(min_value=1, max_value=7),
)
def test_placement_after_a_change_moves_nothing_that_stays(
    before: set[Channel], after: set[Channel], capacity: int
) -> None:
    first = place_channels(sorted(before), {}, "market", capacity)
    second = place_channels(sorted(after), first, "market", capacity)
    where = {channel: key for key, channels in second.items() for channel in channels}
    assert set(where) == after
    for key, channels in first.items():
        for channel in channels:
            assert where.get(channel, key) == key


def test_placement_fills_room_before_it_opens_a_connection() -> None:
    current = {"market-0": [Channel("A", "trade")], "market-1": [Channel("B", "trade")]}
    wanted = [Channel("B", "trade"), Channel("C", "trade"), Channel("D", "trade")]
    assert place_channels(wanted, current, "market", 2) == {
        "market-0": (Channel("C", "trade"), Channel("D", "trade")),
        "market-1": (Channel("B", "trade"),),
    }
