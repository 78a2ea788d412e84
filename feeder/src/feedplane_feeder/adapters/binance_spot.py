"""Binance spot.

Source: binance-spot-api-docs web-socket-streams.md (limits, "General WSS information"),
rest-api.md (weights), read 2026-11-21.
"""

from typing import Final

from feedplane_api.worker import Endpoints
from feedplane_feeder.adapters.binance import (
    BANNED_UNTIL_PATTERN,
    BAR_INTERVALS,
    CHANNELS,
    CREDENTIAL_HEADERS,
    CREDENTIALS_REFUSED_PATTERN,
    USED_WEIGHT_HEADER,
    BinanceAdapter,
    Dialect,
)
from feedplane_feeder.core.instrument_list import InstrumentList
from feedplane_feeder.core.ports import Capabilities, Proof, TransportKind, VenueLimits

LIMITS: Final = VenueLimits(
    control_messages_per_second=5,
    streams_per_connection=1_024,
    connects_per_five_minutes=300,
    request_weight_per_minute=6_000,
    connection_life_seconds=86_400,
    ping_timeout_seconds=80,  # a ping every 20 s, and a minute more
    source="binance-spot-api-docs: web-socket-streams.md, rest-api.md; read 2026-11-21",
)

ADAPTER: Final = BinanceAdapter(
    Dialect(
        venue="binance-spot",
        endpoints=Endpoints(
            stream="wss://stream.binance.com:9443",
            rest="https://api.binance.com",
            archive="https://data.binance.vision",
        ),
        capabilities=Capabilities(
            channels=CHANNELS,
            bar_intervals=BAR_INTERVALS | {"1s"},
            transport=TransportKind.WEBSOCKET,
            limits=LIMITS,
            used_weight_header=USED_WEIGHT_HEADER,
            banned_until_pattern=BANNED_UNTIL_PATTERN,
            credentials_refused_pattern=CREDENTIALS_REFUSED_PATTERN,
            credential_headers=CREDENTIAL_HEADERS,
            instruments=InstrumentList(),
            proof=Proof.RECORDED,
        ),
        groups={"trade": "stream", "quote": "stream", "bar": "stream", "book": "stream"},
        paths={"stream": "/stream"},
        instruments_path="/api/v3/exchangeInfo",
        instruments_weight=20,
        depth_path="/api/v3/depth",
        depth_weight=50,
        tagged_quotes=False,
    )
)
