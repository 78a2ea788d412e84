"""Binance USDⓈ-M futures.

Trades and bars are served under `/market`, quotes and books under `/public`; a stream asked for
under the other prefix is acknowledged and stays mute.

Source: USDⓈ-M "Websocket Market Streams" and "Important WebSocket Change Notice" (2026-03-05),
"General Info" (weights), read 2026-11-21.
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
    control_messages_per_second=10,
    streams_per_connection=1_024,
    connects_per_five_minutes=300,  # not stated for this market; spot's number
    request_weight_per_minute=2_400,
    connection_life_seconds=86_400,
    ping_timeout_seconds=400,  # a ping every 3 min; twice that and a little
    source="USDⓈ-M docs: Websocket Market Streams, General Info; read 2026-11-21",
)

ADAPTER: Final = BinanceAdapter(
    Dialect(
        venue="binance-usdm",
        endpoints=Endpoints(
            stream="wss://fstream.binance.com",
            rest="https://fapi.binance.com",
            archive="https://data.binance.vision",
        ),
        capabilities=Capabilities(
            channels=CHANNELS,
            bar_intervals=BAR_INTERVALS,
            transport=TransportKind.WEBSOCKET,
            limits=LIMITS,
            used_weight_header=USED_WEIGHT_HEADER,
            banned_until_pattern=BANNED_UNTIL_PATTERN,
            credentials_refused_pattern=CREDENTIALS_REFUSED_PATTERN,
            credential_headers=CREDENTIAL_HEADERS,
            instruments=InstrumentList(),
            proof=Proof.RECORDED,
        ),
        groups={"trade": "market", "quote": "public", "bar": "market", "book": "public"},
        paths={"market": "/market/stream", "public": "/public/stream"},
        instruments_path="/fapi/v1/exchangeInfo",
        instruments_weight=1,
        depth_path="/fapi/v1/depth",
        depth_weight=20,
        tagged_quotes=True,
    )
)
