"""A venue's one fixture file: frames with what they become, and how it is met over sockets."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from feedplane_api.worker import Endpoints
from feedplane_feeder.core.history import History
from feedplane_feeder.core.ports import Adapter, TransportKind
from feedplane_feeder.registry import ADAPTERS, HISTORIES
from feedplane_simulator.config import Market

FIXTURES = Path(__file__).parents[2] / "unit" / "feeder" / "fixtures"


@dataclass(frozen=True)
class VenueUnderTest:
    """An adapter with its fixture's first line."""

    adapter: Adapter
    header: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.adapter.venue

    @cached_property
    def told(self) -> dict[str, Any]:
        """The `conformance` object of the first line."""
        told: dict[str, Any] = self.header["conformance"]
        return told

    @property
    def symbols(self) -> list[str]:
        return list(self.told["symbols"])

    @property
    def channels(self) -> list[str]:
        """Channel names, the one that is muted, skipped and doubled first."""
        return list(self.told["channels"])

    @property
    def unknown(self) -> str | None:
        """A symbol the venue does not have; None where it takes any."""
        unknown: str | None = self.told.get("unknown")
        return unknown

    @property
    def cannot(self) -> dict[str, str]:
        """Cards this venue cannot be held to, each with the reason."""
        return dict(self.told.get("cannot", {}))

    @property
    def quiet_seconds(self) -> int:
        """How long a busy stream may be silent in this simulator."""
        return int(self.told.get("staleAfterSeconds", 1))

    @property
    def simulated(self) -> dict[str, Any]:
        """Settings of the simulator; a venue hosted under the adapter's name where none are."""
        told = dict(self.told.get("simulator", {}))
        markets = tuple(map(Market, told.pop("markets", ())))
        venues = {} if markets else {self.name: 0}
        return {"markets": markets, "venues": venues, "rate": 80, "symbols": 4, **told}

    @property
    def market(self) -> str:
        """Its name in the simulator's books."""
        return str(self.told.get("market", self.name))

    def endpoints(self, ports: dict[str, int]) -> Endpoints:
        """Return the addresses; `{name}` stands for the port of that name."""
        places = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        default = {"stream": f"ws://{{{self.name}}}", "rest": f"http://{{{self.name}}}"}
        told = {**default, **self.told.get("endpoints", {})}
        return Endpoints(**{key: text.format_map(places) for key, text in told.items()})

    @property
    def history(self) -> History | None:
        return HISTORIES.get(self.name)

    @property
    def polled(self) -> bool:
        return self.adapter.capabilities.transport is TransportKind.HTTP_POLLING

    @property
    def logs_in(self) -> bool:
        return bool(self.adapter.capabilities.credential_headers)

    @property
    def numbers_trades(self) -> bool:
        return "trade" in self.adapter.capabilities.numbered


def all_venues() -> Iterator[VenueUnderTest]:
    """Yield every adapter whose fixture says how to meet it."""
    for venue, adapter in ADAPTERS.items():
        path = FIXTURES / f"{venue}.jsonl"
        if not path.is_file():
            continue
        with path.open() as lines:
            header = json.loads(next(lines))
        if "conformance" in header:
            yield VenueUnderTest(adapter, header)
