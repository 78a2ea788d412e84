"""What a venue beside the two built-in markets is given, and what the simulator asks of it.

A hosted venue is one module: it opens its own port, speaks its own protocol, tells the truth and
the violations into the simulator's books, and looks faults up where they matter.

What it writes into the truth is neutral: `VenueEvent.payload` is a JSON object with the fields a
normalized record of the event must have (`price`, `size`, `ts_event` in nanoseconds, ...), each
decimal as the text it was sent as. So a judge needs to know no venue's wire format.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from feedplane_simulator.admission import Terms
from feedplane_simulator.faults import ActiveFault, FaultBook
from feedplane_simulator.truth import Truth
from feedplane_simulator.violations import ViolationLog


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSetup:
    """Everything a hosted venue shares with the simulator around it."""

    name: str
    """Its name in the truth, in faults' `market` and in rates; that of the adapter."""
    host: str
    port: int
    """0 takes any free one."""
    seed: int
    symbols: int
    rate: Callable[[], float]
    """Events per second now, over all its instruments; it may change."""
    truth: Truth
    violations: ViolationLog
    faults: FaultBook
    terms: Terms
    further_ports: Mapping[str, int] = field(default_factory=dict)
    """Ports told for `<venue>-<what>`; any free one where none was told."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Settings of this venue alone, for instance how long a connection lives."""


class HostedVenue(Protocol):
    """One venue in the simulator."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Open ports by name, the first under the venue's own name; others are `<venue>-<what>`."""

    async def start(self) -> None:
        """Open the ports and begin to emit."""

    async def stop(self) -> None:
        """Cut all connections, close the ports and leave no task behind."""

    async def inject(self, active: ActiveFault) -> None:
        """Carry out a fault that happens at once: drop, rotate, halt, resume, list, delist, ban.

        What holds for a time (mute, delay, refuse, ...) is not told here; the venue asks
        `faults.judge_frame` and `faults.find` where it matters.
        """

    def connections(self) -> Sequence[Mapping[str, Any]]:
        """Describe every open connection, at least by `id`, `market` and `account`."""


Factory = Callable[[VenueSetup], HostedVenue]
