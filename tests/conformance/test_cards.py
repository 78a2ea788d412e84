"""Every adapter against its simulated venue: one test per venue and card.

A new venue needs no test code: its fixture's first line says how to meet it, see
docs/how-to/add-a-venue.md.
"""

from typing import Any

import pytest
from conformance.cards import CARDS, Card
from conformance.conductor import Conductor
from conformance.fixture import VenueUnderTest, all_venues

from feedplane_feeder.registry import ADAPTERS

VENUES = list(all_venues())


def asked() -> list[Any]:
    return [
        pytest.param(venue, card, id=f"{venue.name}: {card.name}")
        for card in CARDS
        for venue in VENUES
        if card.asks(venue)
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("venue", "card"), asked())
def test_adapter_does_what_the_card_asks(
    venue: VenueUnderTest, card: Card, conductor: Conductor, request: pytest.FixtureRequest
) -> None:
    assert card.asks(venue)
    conductor.outcome(request.node.nodeid)


def test_every_venue_is_met_over_sockets() -> None:
    assert {venue.name for venue in VENUES} == set(ADAPTERS), (
        "the first line of each fixture needs a conformance object"
    )


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
def test_excepted_cards_exist_and_have_a_reason(venue: VenueUnderTest) -> None:
    assert set(venue.cannot) <= {card.name for card in CARDS}
    assert all(len(reason) > 20 for reason in venue.cannot.values())
