"""Checks of single values: decimal text, positive numbers, crossed quotes, sane bars.

All of them look at the text as printed. Floats serve as a fast first look only: they keep the
order of decimals, so an answer that floats give for certain is certain, and where they cannot
tell, decimals decide. Must not know venues.
"""

from decimal import Decimal

from feedplane_feeder.errors import ImpossibleValueError


def check_trade(price: str, size: str) -> None:
    """Check the numbers of a trade: both positive.

    Raises:
        ImpossibleValueError: NotDecimal, NegativeOrZeroPrice, NegativeOrZeroSize.
    """
    # `float` accepts at most one dot; what it accepts beyond digits, the second test refuses.
    try:
        positive = float(price) > 0.0 < float(size)
    except ValueError:
        raise ImpossibleValueError("NotDecimal") from None
    digits = f"{price}{size}".replace(".", "")
    if positive and digits.isdecimal() and digits.isascii():
        return
    _check_decimals(price, size)
    raise ImpossibleValueError(
        "NegativeOrZeroPrice" if float(price) <= 0.0 else "NegativeOrZeroSize"
    )


def check_quote(bid_price: str, bid_size: str, ask_price: str, ask_size: str) -> None:
    """Check the numbers of a quote: none negative, bid below ask.

    An empty side is printed as price zero and is legal.

    Raises:
        ImpossibleValueError: NotDecimal, NegativePrice, NegativeSize, CrossedQuote.
    """
    try:
        bid, ask = float(bid_price), float(ask_price)
        sized = float(bid_size) >= 0.0 <= float(ask_size)
    except ValueError:
        raise ImpossibleValueError("NotDecimal") from None
    digits = f"{bid_price}{bid_size}{ask_price}{ask_size}".replace(".", "")
    if not (digits.isdecimal() and digits.isascii() and sized):
        _check_decimals(bid_price, bid_size, ask_price, ask_size)
        raise ImpossibleValueError("NegativePrice" if bid < 0 or ask < 0 else "NegativeSize")
    if bid < ask or bid == 0.0 or ask == 0.0:
        return
    # Floats of unequal decimals may be equal, so the exact comparison decides.
    if Decimal(bid_price) >= Decimal(ask_price):
        raise ImpossibleValueError("CrossedQuote")


def check_bar(prices: tuple[str, str, str, str], volumes: tuple[str, ...]) -> None:
    """Check the numbers of a bar: prices positive and in order, volumes not negative.

    Raises:
        ImpossibleValueError: NotDecimal, NegativeOrZeroPrice, NegativeVolume, ImpossibleRange.
    """
    _check_decimals(*prices, *volumes)
    first, high, low, last = map(Decimal, prices)
    if low <= 0:
        raise ImpossibleValueError("NegativeOrZeroPrice")
    if not low <= min(first, last) <= max(first, last) <= high:
        raise ImpossibleValueError("ImpossibleRange")
    if any(Decimal(volume) < 0 for volume in volumes):
        raise ImpossibleValueError("NegativeVolume")


def _check_decimals(*texts: str) -> None:
    for text in texts:
        unsigned = text.removeprefix("-").replace(".", "", 1)
        if not (unsigned.isdecimal() and unsigned.isascii()):
            raise ImpossibleValueError("NotDecimal")
