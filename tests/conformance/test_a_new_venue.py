"""The venue that docs/how-to/add-a-venue.md builds, held to everything a real one is held to."""

import json
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from conformance.cards import CARDS, Card
from conformance.conductor import Conductor
from conformance.fixture import VenueUnderTest

from feedplane_feeder.core.ports import Channel, ConnectionPlan
from feedplane_feeder.registry import ADAPTERS
from feedplane_simulator.venues import VENUES

PAGE = Path(__file__).parents[2] / "docs/how-to/add-a-venue.md"
NAME = "parrot"


def blocks(language: str) -> list[str]:
    """The page's blocks of code in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def load(name: str, code: str) -> ModuleType:
    """Run a block as a module."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, f"{PAGE.name}: {name}", "exec"), module.__dict__)  # noqa: S102
    return module


def lines() -> list[Any]:
    return [json.loads(line) for line in blocks("json")[0].splitlines()]


ADAPTER = load("example_adapter", blocks("python")[0]).ADAPTER
SIMULATED = load("example_simulator", blocks("python")[1])
VENUE = VenueUnderTest(ADAPTER, lines()[0])
ASKED = [card for card in CARDS if card.asks(VENUE)]


@pytest.fixture(scope="module")
def played(conductor: Conductor) -> Iterator[Conductor]:
    """Host the example beside the real venues and begin its cards."""
    hosted: Any = VENUES
    hosted[NAME] = SIMULATED.ParrotVenue
    for card in ASKED:
        conductor.begin(f"{NAME}: {card.name}", partial(card.play, VENUE))
    yield conductor
    for card in ASKED:
        conductor.settle(f"{NAME}: {card.name}")
    del hosted[NAME]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("card", ASKED, ids=lambda card: card.name)
def test_example_does_what_the_card_asks(card: Card, played: Conductor) -> None:
    assert card.asks(VENUE)
    played.outcome(f"{NAME}: {card.name}")


@pytest.mark.parametrize("case", lines()[1:], ids=lambda case: case["case"])
def test_frame_of_the_example_becomes_what_is_said(case: dict[str, Any]) -> None:
    channels = tuple(Channel(*each) for each in VENUE.header["channels"])
    plan = ConnectionPlan(key="talk-0", url="", channels=channels)
    session = ADAPTER.session(plan, ADAPTER.capabilities.limits)
    received = session.receive([case["frame"].encode()], case["ts_recv"])
    told = [
        {"type": type(record).__name__, **msgspec.structs.asdict(record)}
        for record in received.records
    ]
    assert told == case.get("records", [])
    assert len(received.acknowledged) == case.get("acknowledged", 0)
    aside = [[row.channel, row.reason] for row in received.quarantined]
    assert aside == ([case["quarantined"]] if "quarantined" in case else [])


def test_example_is_asked_nearly_every_card_and_is_no_real_venue() -> None:
    assert len(ASKED) >= len(CARDS) - 2
    assert NAME not in ADAPTERS
    assert VENUE.cannot == {}
