"""Checks of single values: decimal text, positive numbers, crossed quotes, sane bars.

All of them look at the text as printed. Floats serve as a first look only: they keep the order
of decimals, so an answer that floats give for certain is certain, and where they cannot tell,
decimals decide. Prices and sizes repeat, so texts that were found good are remembered; looking
one up is several times cheaper than reading it again. Must not know venues.
"""

from decimal import Decimal
from typing import Final

from feedplane_feeder.errors import ImpossibleValueError

REMEMBERED: Final = 16_384
_known: Final[dict[str, float]] = {}


def read_decimal(text: str) -> float:
    """Return about the value of an unsigned decimal text, for comparison only.

    Raises:
        ImpossibleValueError: NotDecimal, Negative.
    """
    value = _known.get(text)
    return _learn(text) if value is None else value


def check_trade(price: str, size: str) -> None:
    """Check the numbers of a trade: both positive.

    Raises:
        ImpossibleValueError: NotDecimal, Negative, ZeroPrice, ZeroSize.
    """
    # A miss and a zero both take the slow way.
    if _known.get(price) and _known.get(size):
        return
    if not read_decimal(price):
        raise ImpossibleValueError("ZeroPrice")
    if not read_decimal(size):
        raise ImpossibleValueError("ZeroSize")


def check_quote(bid_price: str, bid_size: str, ask_price: str, ask_size: str) -> None:
    """Check the numbers of a quote: none negative, bid below ask.

    An empty side is printed as price zero and is legal.

    Raises:
        ImpossibleValueError: NotDecimal, Negative, CrossedQuote.
    """
    known = _known.get
    bid, ask = known(bid_price), known(ask_price)
    if bid is None:
        bid = _learn(bid_price)
    if ask is None:
        ask = _learn(ask_price)
    if known(bid_size) is None:
        _learn(bid_size)
    if known(ask_size) is None:
        _learn(ask_size)
    if bid < ask or bid == 0.0 or ask == 0.0:
        return
    # Floats of unequal decimals may be equal, so the exact comparison decides.
    if Decimal(bid_price) >= Decimal(ask_price):
        raise ImpossibleValueError("CrossedQuote")


def check_bar(prices: tuple[str, str, str, str], volumes: tuple[str, ...]) -> None:
    """Check the numbers of a bar: prices positive and in order, volumes not negative.

    Raises:
        ImpossibleValueError: NotDecimal, Negative, ZeroPrice, ImpossibleRange.
    """
    first, high, low, last = map(read_decimal, prices)
    _check_decimals(volumes)
    if low == 0.0:
        raise ImpossibleValueError("ZeroPrice")
    # Unequal decimals that floats call equal are in order as far as this can tell.
    if not low <= first <= high or not low <= last <= high:
        raise ImpossibleValueError("ImpossibleRange")


def _learn(text: str) -> float:
    _check_decimal(text)
    if len(_known) >= REMEMBERED:
        _known.clear()
    value = _known[text] = float(text)
    return value


# Volumes hardly repeat, so they are not remembered. `float` refuses a second point, and what it
# accepts beyond digits shows in all of them at once.
def _check_decimals(texts: tuple[str, ...]) -> None:
    digits = "".join(texts).replace(".", "")
    try:
        for text in texts:
            float(text)
    except ValueError:
        raise ImpossibleValueError("NotDecimal") from None
    if not (digits.isdecimal() and digits.isascii()):
        negative = digits.replace("-", "").isdecimal() and digits.isascii()
        raise ImpossibleValueError("Negative" if negative else "NotDecimal")


def _check_decimal(text: str) -> None:
    digits = text.replace(".", "", 1)
    if digits.isdecimal() and digits.isascii():
        return
    unsigned = digits.removeprefix("-")
    negative = unsigned.isdecimal() and unsigned.isascii()
    raise ImpossibleValueError("Negative" if negative else "NotDecimal")
