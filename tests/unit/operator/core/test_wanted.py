from support_plans import parse_subscription
from support_resources import subscription

from feedplane_api.worker import Wanted
from feedplane_operator.core.wanted import expand_subscription, keep_previous, merge_wanted

LISTING = {"BTCUSDT": True, "ETHUSDT": True, "ETHBTC": True, "OLDUSDT": False}


def test_named_instruments_need_no_listing() -> None:
    wanted = parse_subscription(subscription("s", "f", instruments=["ETHUSDT", "BTCUSDT"]))
    expansion = expand_subscription(wanted, None, ())
    assert expansion.symbols == ("BTCUSDT", "ETHUSDT")
    assert not expansion.awaiting_listing


def test_globs_match_what_trades() -> None:
    selector = {"include": ["*usdt"], "exclude": ["eth*"]}
    wanted = parse_subscription(subscription("s", "f", selector=selector))
    assert expand_subscription(wanted, LISTING, ()).symbols == ("BTCUSDT",)


def test_globs_without_listing_hold_on_to_what_runs() -> None:
    wanted = parse_subscription(subscription("s", "f", selector={"include": ["*USDT"]}))
    expansion = expand_subscription(wanted, None, ("BTCUSDT", "ETHBTC"))
    assert expansion.symbols == ("BTCUSDT",)
    assert expansion.awaiting_listing


def test_instrument_that_stopped_trading_is_kept_while_it_runs() -> None:
    wanted = parse_subscription(subscription("s", "f", selector={"include": ["*USDT"]}))
    assert "OLDUSDT" in expand_subscription(wanted, LISTING, ("OLDUSDT",)).symbols
    assert "GONEUSDT" not in expand_subscription(wanted, LISTING, ("GONEUSDT",)).symbols


def test_globs_that_match_too_much_take_the_first_by_name() -> None:
    selector = {"include": ["*"], "maxInstruments": 2}
    wanted = parse_subscription(subscription("s", "f", selector=selector, instruments=["XRPUSDT"]))
    expansion = expand_subscription(wanted, LISTING, ())
    assert expansion.symbols == ("BTCUSDT", "ETHBTC", "XRPUSDT")
    assert (expansion.matching, expansion.too_wide) == (3, True)


def test_two_subscriptions_share_one_line_per_instrument() -> None:
    trades = parse_subscription(subscription("s", "f", channels=["trade"]))
    quotes = parse_subscription(subscription("t", "f", channels=["quote", "trade"]))
    merged = merge_wanted(
        [(entry, expand_subscription(entry, None, ())) for entry in (quotes, trades)]
    )
    assert merged == {"BTCUSDT": Wanted(symbol="BTCUSDT", channels=("quote", "trade"))}


def test_previous_list_is_kept_and_added_to() -> None:
    now = {"A": Wanted(symbol="A", channels=("trade",))}
    before = {
        "A": Wanted(symbol="A", channels=("quote",)),
        "B": Wanted(symbol="B", channels=("book",)),
    }
    kept = keep_previous(now, before)
    assert kept["A"].channels == ("quote", "trade")
    assert kept["B"].channels == ("book",)


def test_gaps_are_left_to_a_person_where_nobody_has_them_filled() -> None:
    manual = parse_subscription(subscription("s", "f", channels=["book", "trade"], repair="Manual"))
    automatic = parse_subscription(subscription("t", "f", channels=["quote", "trade"]))
    merged = merge_wanted(
        [(entry, expand_subscription(entry, None, ())) for entry in (manual, automatic)]
    )
    assert merged["BTCUSDT"].channels == ("book", "quote", "trade")
    assert merged["BTCUSDT"].manual_repair == ("book",)
    alone = merge_wanted([(manual, expand_subscription(manual, None, ()))])
    assert alone["BTCUSDT"].manual_repair == ("book", "trade")
    assert keep_previous(alone, merged)["BTCUSDT"].manual_repair == ("book",)
