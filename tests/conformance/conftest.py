"""The conductor, with every card that is asked for under way from the first test on."""

import os
from collections.abc import Iterator
from functools import partial

import pytest
from conformance.conductor import Conductor

from feedplane_feeder.core.ports import TransportKind
from feedplane_feeder.registry import ADAPTERS
from feedplane_simulator import ctp_shim

pytest.register_assert_rewrite("conformance.cards")


@pytest.fixture(scope="session")
def conductor(request: pytest.FixtureRequest) -> Iterator[Conductor]:
    """Begin the cards of all collected tests, side by side."""
    kinds = {adapter.capabilities.transport for adapter in ADAPTERS.values()}
    if TransportKind.LIBRARY in kinds:
        os.environ.update(ctp_shim.environment())
    running = Conductor()
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if {"venue", "card"} <= params.keys():
            running.begin(item.nodeid, partial(params["card"].play, params["venue"]))
    yield running
    running.close()
