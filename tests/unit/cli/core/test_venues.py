import pytest

from feedplane_cli.core.venues import STANDING_ONLY, UNLISTED, build_venues
from feedplane_feeder.registry import ADAPTERS, HISTORIES


def test_venue_says_what_its_adapter_declares() -> None:
    past = {"binance-spot": HISTORIES["binance-spot"]}
    (view,) = build_venues({"binance-spot": ADAPTERS["binance-spot"]}, past)
    assert view.transport == "websocket"
    assert view.channels == ("bar", "book", "quote", "trade")
    assert view.bar_intervals[:2] == ("1s", "1m")
    assert view.bar_intervals[-1] == "1M"
    assert view.numbered == ("book", "trade")
    assert view.dense_bars
    assert ("request weight", "6,000 per minute") in view.limits
    assert "trade" in view.history
    assert "bar-1m" in view.history
    assert "book" not in view.history


def test_venue_with_a_past_only_is_listed_as_such() -> None:
    (view,) = build_venues({}, {"binance-spot": HISTORIES["binance-spot"]})
    assert (view.transport, view.channels, view.bar_intervals) == (STANDING_ONLY, (), ())
    assert not view.needs_credentials
    assert view.sessions_per_account is None
    assert view.proof == "constructed"


def test_venue_without_a_past_has_no_history() -> None:
    (view,) = build_venues({"binance-spot": ADAPTERS["binance-spot"]}, {})
    assert view.history == ()


@pytest.mark.parametrize(
    ("venue", "instruments"),
    [
        ("binance-spot", "all instruments"),
        (
            "eastmoney",
            "shares of Shanghai, Shenzhen and Beijing, read every 4 h;"
            " other names are taken on trust",
        ),
        ("fushu", UNLISTED),
        ("baostock", UNLISTED),
    ],
)
def test_venue_says_what_its_list_holds(venue: str, instruments: str) -> None:
    views = {view.venue: view for view in build_venues(ADAPTERS, HISTORIES)}
    assert views[venue].instruments == instruments


@pytest.mark.parametrize("venue", HISTORIES)
def test_every_past_can_be_told(venue: str) -> None:
    (view,) = build_venues({}, {venue: HISTORIES[venue]})
    assert view.history


def test_venue_names_the_keys_of_its_login_once() -> None:
    (alpaca,) = build_venues({"alpaca": ADAPTERS["alpaca"]}, {})
    assert alpaca.credential_keys == ("apiKey", "apiSecret")
    assert not alpaca.dense_bars
    (eastmoney,) = build_venues({"eastmoney": ADAPTERS["eastmoney"]}, {})
    assert eastmoney.credential_keys == ()
