import pytest

from feedplane_simulator.channels import (
    INTERVAL_MS,
    StreamName,
    build_stream,
    check_interval,
    is_routed,
    open_time,
    parse_stream,
)
from feedplane_simulator.config import Market

FRIDAY_NOON_MS = 1_795_176_000_000


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("btcusdt@depth@100ms", StreamName("btcusdt@depth@100ms", "BTCUSDT", "depth@100ms")),
        ("btcusdt@kline_1m", StreamName("btcusdt@kline_1m", "BTCUSDT", "kline_1m")),
        ("BTCUSDT@trade", None),
        ("!ticker", None),
        ("@trade", None),
        ("btcusdt@", None),
    ],
)
def test_stream_name_parses_or_is_none(text: str, name: StreamName | None) -> None:
    assert parse_stream(text) == name


def test_stream_name_built_parses_back() -> None:
    assert parse_stream(build_stream("BTCUSDT", "depth")) == StreamName(
        "btcusdt@depth", "BTCUSDT", "depth"
    )


@pytest.mark.parametrize(
    ("route", "channel", "routed"),
    [
        ("public", "bookTicker", True),
        ("public", "depth@100ms", True),
        ("public", "aggTrade", False),
        ("market", "aggTrade", True),
        ("market", "kline_1m", True),
        ("market", "depth", False),
        ("", "depth", True),
        ("", "kline_1m", False),
        ("private", "aggTrade", False),
    ],
)
def test_futures_channel_lives_on_one_route(route: str, channel: str, routed: bool) -> None:
    assert is_routed(Market.USDM, route, channel) is routed
    assert is_routed(Market.SPOT, route, channel)


@pytest.mark.parametrize(
    ("interval", "opened"),
    [
        ("1m", FRIDAY_NOON_MS),
        ("1d", FRIDAY_NOON_MS - 12 * 3_600_000),
        ("1w", FRIDAY_NOON_MS - 12 * 3_600_000 - 4 * 86_400_000),
    ],
)
def test_bar_opens_on_its_venue_boundary(interval: str, opened: int) -> None:
    assert open_time(INTERVAL_MS[interval], FRIDAY_NOON_MS) == opened


def test_second_bars_exist_on_spot_only() -> None:
    assert check_interval(Market.SPOT, "1s")
    assert not check_interval(Market.USDM, "1s")
    assert not check_interval(Market.SPOT, "7m")
