import pytest

from feedplane_feeder.errors import UnknownVenueError
from feedplane_feeder.registry import ADAPTERS, find_adapter


def test_registry_is_in_alphabetical_order() -> None:
    assert list(ADAPTERS) == sorted(ADAPTERS)


def test_unknown_venue_names_the_known_ones() -> None:
    with pytest.raises(UnknownVenueError) as raised:
        find_adapter("nowhere")
    assert raised.value.known == tuple(ADAPTERS)
    assert "nowhere" in str(raised.value)
