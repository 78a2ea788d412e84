"""Frames that cannot be used: kept as they came, and whatever they may have told is in doubt.

Pure; must not know how a venue tells its channels apart.
"""

from collections.abc import Mapping
from typing import Final

from feedplane_feeder.core.ports import Channel, Received
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import Quarantined

RAW_LENGTH: Final = 4_096
"""So much of a frame is kept."""


def set_aside(
    received: Received,
    frame: bytes,
    ts_recv: int,
    error: Exception,
    *,
    venue: str,
    suspects: Mapping[Channel, str],
) -> None:
    """Put a frame into quarantine, and the channels it may have belonged to in doubt.

    `suspects` are those channels with their instrument_id; a single one is named in the row.
    """
    named = [(each.name, instrument_id) for each, instrument_id in suspects.items()]
    channel, instrument_id = named[0] if len(named) == 1 else ("", "")
    received.quarantined.append(
        Quarantined(
            ts_recv=ts_recv,
            venue=venue,
            channel=channel,
            instrument_id=instrument_id,
            reason=error.reason if isinstance(error, ImpossibleValueError) else "MalformedFrame",
            raw=frame[:RAW_LENGTH].decode("utf-8", "replace"),
        )
    )
    received.unreadable.update(suspects)
