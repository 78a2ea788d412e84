import pytest

from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.transports.handshake import (
    DEFAULT_PAUSE_SECONDS,
    find_proxy,
    parse_retry_after,
    refused_handshake,
)

URL = "wss://stream.example:9443/stream"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, CredentialsRefusedError),
        (403, CredentialsRefusedError),
        (418, VenueBannedError),
        (429, VenueThrottledError),
        (503, VenueUnavailableError),
    ],
)
def test_refused_handshake_becomes_our_error(status: int, kind: type[Exception]) -> None:
    error = refused_handshake(URL, status, {"Retry-After": "7"})
    assert type(error) is kind
    assert f"HTTP {status}" in str(error)


def test_ban_says_how_long_it_lasts() -> None:
    error = refused_handshake(URL, 418, {"Retry-After": "7"})
    assert isinstance(error, VenueBannedError)
    assert error.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        ("-3", 0.0),
        (None, DEFAULT_PAUSE_SECONDS),
        ("", DEFAULT_PAUSE_SECONDS),
        ("Wed, 21 Oct 2026 07:28:00 GMT", DEFAULT_PAUSE_SECONDS),
    ],
)
def test_pause_is_read_or_a_minute(text: str | None, seconds: float) -> None:
    assert parse_retry_after(text) == seconds


def test_proxy_is_the_environments_unless_it_makes_an_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert find_proxy(URL) is None
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "localhost,.inside")
    assert find_proxy(URL) == "http://proxy.example:3128"
    assert find_proxy("ws://stream.example/stream") is None
    assert find_proxy("wss://venue.inside/stream") is None
    assert find_proxy("nonsense") is None
