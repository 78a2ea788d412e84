"""What a refused WebSocket handshake means, whichever library met it."""

from collections.abc import Mapping
from typing import Final

from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)

DEFAULT_PAUSE_SECONDS: Final = 60.0
OPEN_TIMEOUT_SECONDS: Final = 10.0
CLOSE_TIMEOUT_SECONDS: Final = 1.0


def refused_handshake(url: str, status: int, headers: Mapping[str, str]) -> VenueUnavailableError:
    """Return the error for an HTTP answer that is not an upgrade."""
    reason = f"HTTP {status}"
    if status in (401, 403):
        return CredentialsRefusedError(url, reason)
    if status not in (418, 429):
        return VenueUnavailableError(url, reason)
    seconds = parse_retry_after(headers.get("Retry-After"))
    kind = VenueBannedError if status == 418 else VenueThrottledError
    return kind(url, reason, seconds)


def parse_retry_after(text: str | None) -> float:
    """Return the seconds of a Retry-After header; a minute when it says nothing usable."""
    try:
        return max(0.0, float(text)) if text else DEFAULT_PAUSE_SECONDS
    except ValueError:
        return DEFAULT_PAUSE_SECONDS
