"""The peer: cryptofeed's own Binance feed and Postgres backend, against the same simulator.

Run as a program of its own. Only addresses are changed: the library refuses `ws://`, so the
connection class is given the local address after its check.
"""

import argparse
import asyncio
import logging
from typing import Any

import cryptofeed.feed
import uvloop
from cryptofeed import FeedHandler
from cryptofeed.backends.postgres import TradePostgres
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint, WSAsyncConn
from cryptofeed.defines import TRADES
from cryptofeed.exchanges import Binance


class PlainConnection(WSAsyncConn):  # type: ignore[misc]
    """A connection without TLS."""

    def __init__(self, address: str, *args: object, **kwargs: object) -> None:
        super().__init__(address.replace("ws://", "wss://"), *args, **kwargs)
        self.address = address


def main() -> None:
    """Feed trades of all listed instruments into the `trades` table until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--db-port", type=int, required=True)
    parser.add_argument("--db", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)

    stream = WebsocketEndpoint(f"ws://127.0.0.1:{args.port}", options={"compression": None})
    routes = Routes("/api/v3/exchangeInfo", l2book="/api/v3/depth?symbol={}&limit={}")
    rest = RestEndpoint(f"http://127.0.0.1:{args.port}", routes=routes)
    addresses = {"websocket_endpoints": [stream], "rest_endpoints": [rest]}
    local: Any = type("Local", (Binance,), addresses)
    cryptofeed.feed.WSAsyncConn = PlainConnection
    store = TradePostgres(
        host="127.0.0.1", port=args.db_port, user=args.user, pw=args.password, db=args.db
    )
    # The library asks for the thread's loop, which uvloop's policy no longer makes by itself.
    asyncio.set_event_loop(uvloop.new_event_loop())
    handler = FeedHandler(config={"uvloop": False, "log": {"disabled": True}})
    handler.add_feed(local(symbols=local.symbols(), channels=[TRADES], callbacks={TRADES: store}))
    handler.run()


if __name__ == "__main__":
    main()
