"""CTP's instruments and the structs that tell of them, as each exchange fills them."""

import struct
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

CHINA = timezone(timedelta(hours=8))
OPEN = 1.7976931348623157e308
FAMILIAR = (
    *(("rb2605", "SHFE"), ("sc2606", "INE"), ("m2605", "DCE")),
    *(("TA605", "CZCE"), ("IF2606", "CFFEX"), ("lc2605", "GFEX")),
)
DEPTH = struct.Struct("<9s31s9s31s7di4x8d9s3xi" + "di4xdi4x" * 5 + "d9s81s81s5x2d")
OPTIONS_DEPTH = struct.Struct("<9s31s9s31s7di4x8d9s3xi" + "di4xdi4x" * 5 + "d9s7xd13s3xq")


@dataclass(slots=True)
class Contract:
    """One instrument and its state."""

    symbol: str
    exchange: str
    last: int
    volume: int = 0
    turnover: int = 0
    interest: int = 100_000
    changes: int = 0
    frame: bytes = b""


def build_depth(contract: Contract, now: datetime) -> bytes:
    """Return the struct with the days as the exchange prints them."""
    trading, natural = trading_day_of(now), _print_day(now.date())
    night = now.hour >= 20 or now.hour < 4
    if night and contract.exchange == "DCE":
        natural = trading
    elif now.hour >= 20 and contract.exchange == "CZCE":
        trading = natural
    last = float(contract.last)
    levels = [last - 1, 20, last + 1, 15] + [OPEN, 0, OPEN, 0] * 4
    return DEPTH.pack(
        *(trading.encode(), b"", b"", b""),
        *(last, 3_098.0, 3_100.0, 1.5e6, OPEN, OPEN, OPEN, contract.volume),
        *(float(contract.turnover), float(contract.interest), OPEN, OPEN),
        *(3_314.0, 2_881.0, OPEN, OPEN),
        *(f"{now.hour:02}:{now.minute:02}:{now.second:02}".encode(), now.microsecond // 1_000),
        *levels,
        *(last, natural.encode(), contract.symbol.encode(), contract.symbol.encode()),
        *(OPEN, OPEN),
    )


def build_options_depth(contract: Contract, now: datetime) -> bytes:
    """Return the struct of stock options; from the prices on, most stands where it stood."""
    middle = DEPTH.unpack(build_depth(contract, now))[4:43]
    day = trading_day_of(now).encode()
    return OPTIONS_DEPTH.pack(
        *(day, contract.symbol.encode(), contract.exchange.encode(), b""),
        *middle,
        *(day, OPEN, b"", contract.volume),
    )


def list_contracts(count: int) -> list[tuple[str, str]]:
    """Return so many instruments with their exchanges, one of each exchange first."""
    more = [(f"rb{number:04d}", "SHFE") for number in range(count)]
    return [*FAMILIAR, *more] if count > len(FAMILIAR) else list(FAMILIAR[:count])


def trading_day_of(now: datetime) -> str:
    """Return the trading day of a moment; holidays are not known here."""
    return _trading_day(now.date(), now.hour >= 20)


@lru_cache(maxsize=16)
def _trading_day(day: date, evening: bool) -> str:
    day += timedelta(days=evening)
    while day.weekday() > 4:
        day += timedelta(days=1)
    return _print_day(day)


@lru_cache(maxsize=16)
def _print_day(day: date) -> str:
    return day.strftime("%Y%m%d")
