"""The instruments a generator lists, and the exchangeInfo document that names them."""

from dataclasses import dataclass
from typing import Any

from feedplane_simulator.config import Market, MarketRules
from feedplane_simulator.decimals import format_scaled

BASES = (
    ("BTC", 61_234_50, 2, 5),
    ("ETH", 3_315_20, 2, 4),
    ("BNB", 571_30, 2, 3),
    ("SOL", 148_25, 2, 3),
    ("XRP", 5_871, 4, 1),
    ("DOGE", 12_345, 5, 0),
    ("ADA", 4_321, 4, 1),
    ("AVAX", 28_412, 3, 2),
    ("LINK", 14_207, 3, 2),
    ("DOT", 6_183, 3, 2),
    ("LTC", 72_18, 2, 3),
    ("BCH", 388_40, 2, 3),
    ("TRX", 13_342, 5, 1),
    ("MATIC", 5_219, 4, 1),
    ("NEAR", 5_043, 3, 1),
    ("ATOM", 6_612, 3, 2),
    ("UNI", 8_014, 3, 2),
    ("ETC", 22_11, 2, 2),
    ("FIL", 4_318, 3, 2),
    ("APT", 7_105, 3, 2),
)
"""Base asset, first price in ticks, price decimals, size decimals."""

SPOT_SCALE = 8
QUOTE = "USDT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One listed instrument; prices count in ticks, sizes in lots."""

    symbol: str
    base: str
    first_price: int
    price_decimals: int
    size_decimals: int
    scale: int | None
    """Decimals the venue prints regardless of tick and lot; None prints tick and lot exactly."""

    def price_text(self, ticks: int) -> str:
        """Write a price as the venue prints it."""
        if self.scale is None:
            return format_scaled(ticks, self.price_decimals)
        return format_scaled(ticks * 10 ** (self.scale - self.price_decimals), self.scale)

    def size_text(self, lots: int) -> str:
        """Write a size as the venue prints it."""
        if self.scale is None:
            return format_scaled(lots, self.size_decimals)
        return format_scaled(lots * 10 ** (self.scale - self.size_decimals), self.scale)

    def amount_text(self, ticks_by_lots: int) -> str:
        """Write a price times size, exactly on futures, to the quote's decimals on spot."""
        decimals = self.price_decimals + self.size_decimals
        if self.scale is None:
            return format_scaled(ticks_by_lots, decimals)
        if decimals > self.scale:
            return format_scaled(ticks_by_lots // 10 ** (decimals - self.scale), self.scale)
        return format_scaled(ticks_by_lots * 10 ** (self.scale - decimals), self.scale)


def build_instruments(market: Market, count: int) -> tuple[Instrument, ...]:
    """List the first `count` instruments, known names first."""
    scale = SPOT_SCALE if market is Market.SPOT else None
    listed = []
    for index in range(count):
        base, price, price_decimals, size_decimals = BASES[index % len(BASES)]
        if index >= len(BASES):
            base, price = f"SIM{index:04d}", price + index * 7
        listed.append(
            Instrument(
                symbol=base + QUOTE,
                base=base,
                first_price=price,
                price_decimals=price_decimals,
                size_decimals=size_decimals,
                scale=scale,
            )
        )
    return tuple(listed)


def build_instrument(market: Market, symbol: str) -> Instrument:
    """Make up an instrument under a new symbol."""
    return Instrument(
        symbol=symbol,
        base=symbol.removesuffix(QUOTE),
        first_price=10_000,
        price_decimals=4,
        size_decimals=1,
        scale=SPOT_SCALE if market is Market.SPOT else None,
    )


def _filters(instrument: Instrument) -> list[dict[str, Any]]:
    tick, lot = instrument.price_text(1), instrument.size_text(1)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tick,
            "maxPrice": instrument.price_text(instrument.first_price * 1000),
            "tickSize": tick,
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": lot,
            "maxQty": instrument.size_text(10**9),
            "stepSize": lot,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ]


def describe_spot(instrument: Instrument, status: str) -> dict[str, Any]:
    """Build one entry of the spot exchangeInfo."""
    return {
        "symbol": instrument.symbol,
        "status": status,
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": QUOTE,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(instrument),
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def describe_usdm(instrument: Instrument, status: str) -> dict[str, Any]:
    """Build one entry of the futures exchangeInfo."""
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": status,
        "baseAsset": instrument.base,
        "quoteAsset": QUOTE,
        "marginAsset": QUOTE,
        "pricePrecision": instrument.price_decimals,
        "quantityPrecision": instrument.size_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": _filters(instrument),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def build_rate_limits(market: Market, rules: MarketRules) -> list[dict[str, Any]]:
    """Build the rateLimits list that states the weight a client may use."""
    limits = [
        {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": rules.weight_per_minute,
        }
    ]
    if market is Market.SPOT:
        limits.append(
            {
                "rateLimitType": "RAW_REQUESTS",
                "interval": "MINUTE",
                "intervalNum": 5,
                "limit": 61_000,
            }
        )
    return limits
