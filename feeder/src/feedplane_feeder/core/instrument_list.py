"""How a venue wants its list of instruments to be read, as its adapter declares it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentList:
    """A list the venue gives out. An adapter that declares none takes every name on trust."""

    holds: str = "all instruments"
    """What is on it, in a few words for people."""
    complete: bool = True
    """Whether the venue has nothing else; if not, other names are taken on trust."""
    spacing_seconds: float = 0.0
    """Time between two requests for it."""
    again_seconds: float = 0.0
    """It is not read again sooner, whoever asks for it."""
    retry_cap_seconds: float = 30.0
    """The longest pause after a reading that failed."""
    source: str = ""
    """Where that is told."""
