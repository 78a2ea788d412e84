"""What a refused WebSocket handshake means, whichever library met it."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

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


def find_proxy(url: str) -> str | None:
    """Return the proxy the environment names for an address, None where it names none."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get("https" if parts.scheme == "wss" else "http")
