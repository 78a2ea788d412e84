"""Where the end-to-end tests' simulator hosts its venues."""

from feedplane_simulator.venues import FURTHER_PORTS, VENUES

FIRST_PORT = 9003


def ports() -> dict[str, int]:
    """Return the port of each hosted venue, and of what it opens beside."""
    names = sorted({*VENUES, *FURTHER_PORTS})
    return {name: FIRST_PORT + number for number, name in enumerate(names)}
