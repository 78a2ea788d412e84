"""Daily bars of any symbol over REST, as Binance's spot market answers, with its weight counted.

The simulator makes a day's bar from the day's trades, which over five years of a thousand
instruments takes an hour; this answers at once. `python -m tests.bench.daily_venue PORT`.
"""

import sys
import time
from functools import lru_cache

from aiohttp import web

DAY_MS = 86_400_000
LIMIT = 1_000
WEIGHT = 2
WEIGHT_A_MINUTE = 6_000


@lru_cache(maxsize=256)
def answer(start_ms: int, end_ms: int) -> bytes:
    """Return the bars that open in a window, both ends included, at most a thousand."""
    first = -(-start_ms // DAY_MS)
    last = min(end_ms // DAY_MS, first + LIMIT - 1)
    bars = (
        f'[{day * DAY_MS},"0.0100","0.0102","0.0099","0.0101","{day}.5",'
        f'{(day + 1) * DAY_MS - 1},"{day}.25",{day},"1.5","0.75","0"]'
        for day in range(first, last + 1)
    )
    return f"[{','.join(bars)}]".encode()


class DailyVenue:
    """Counts weight by the minute and refuses what is over, as the venue does."""

    def __init__(self) -> None:
        self._minute = self._used = 0

    async def klines(self, request: web.Request) -> web.Response:
        """Answer a page of daily bars."""
        now = time.time()
        if now // 60 != self._minute:
            self._minute, self._used = int(now // 60), 0
        self._used += WEIGHT
        headers = {"X-MBX-USED-WEIGHT-1M": str(self._used)}
        if self._used > WEIGHT_A_MINUTE:
            headers["Retry-After"] = str(60 - int(now) % 60)
            return web.json_response({"code": -1003}, status=429, headers=headers)
        query = request.query
        body = answer(int(query["startTime"]), int(query.get("endTime", 0)) or int(now * 1000))
        return web.Response(body=body, content_type="application/json", headers=headers)


def main() -> None:
    """Serve on a loopback port until ended."""
    app = web.Application()
    app.router.add_get("/api/v3/klines", DailyVenue().klines)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
