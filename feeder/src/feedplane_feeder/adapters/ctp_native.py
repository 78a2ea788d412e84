"""The process in which CTP's native library lives; `ctp_transport.py` starts it.

Alone in a process of its own, because loading it without the locale zh_CN.GB18030 ends the
process, because it cannot be told to stop reconnecting, and because its callbacks then share the
interpreter with nothing that keeps them waiting. A callback copies the struct and returns; a
second thread writes what was copied to the feeder. Requests come as JSON lines on standard input.

Must not know instruments, records or the loop.
"""

import ctypes
import gc
import importlib
import importlib.util
import json
import os
import socket
import struct
import sys
from collections import deque
from select import select
from threading import Thread
from time import monotonic, sleep
from types import ModuleType
from typing import Any, Final

MOST_QUEUED: Final = 200_000
"""Frames the feeder may be behind; beyond that the oldest are dropped, and it is told."""
MOST_WRITTEN: Final = 2_048
GATHER_SECONDS: Final = 0.002
"""Frames are written together, so that the writer seldom holds a callback up."""
QUIET_GATHER_SECONDS: Final = 0.02
"""The same while nothing comes."""
BLOCKED_LOOK_SECONDS: Final = 0.1
ALIVE_SECONDS: Final = 2.0
LOGIN_FIELDS: Final = {"BrokerID": "brokerId", "UserID": "userId", "Password": "password"}
"""The library's name of each part of a login -> the Secret's."""
UNFIT_LOGIN: Final = -1
"""Stands among the library's error ids, which are above zero."""
_PROBE: Final = (
    ("TradingDay", "20260105", "9s", 0),
    ("LastPrice", 3_101.5, "d", 80),
    ("Volume", 12_345, "i", 136),
    ("UpdateTime", "21:00:01", "9s", 208),
    ("UpdateMillisec", 500, "i", 220),
    ("BidPrice1", 3_100.25, "d", 224),
    ("AskVolume5", 7, "i", 376),
    ("ActionDay", "20260102", "9s", 392),
)
PROBES: Final = {
    584: (*_PROBE, ("InstrumentID", "rb2605", "81s", 401)),
    440: (*_PROBE, ("InstrumentID", "10004567", "31s", 9)),
}
"""Size of the struct -> fields that must lie where the feeder will read them."""

Frame = bytes


def load_binding(name: str) -> ModuleType:
    """Return the market-data half of the binding.

    The package would load the trading half too, which costs 60 MB and is not used. The struct of
    market data has no Python class there: to make an object of it for every tick is a good part of
    what a callback would cost, and the struct is read by its address only.
    """
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ImportError(f"the package {name} is not installed")
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[name] = package
    native: Any = importlib.import_module(f"{name}._thostmduserapi")
    native.CThostFtdcDepthMarketDataField_swigregister = lambda _: None
    return importlib.import_module(f"{name}.thostmduserapi")


def check_layout(binding: Any, depth_bytes: int) -> str | None:
    """Return why the struct is not the one that is known, None when it is."""
    depth = binding.CThostFtdcDepthMarketDataField()
    probe = PROBES[depth_bytes]
    for name, value, _, _ in probe:
        setattr(depth, name, value)
    data = ctypes.string_at(int(depth.this), depth_bytes)
    for name, value, kind, offset in probe:
        (found,) = struct.unpack_from("<" + kind, data, offset)
        if isinstance(found, bytes):
            found = found.partition(b"\0")[0].decode()
        if found != value:
            return f"{name} does not lie at {offset} in this library's market-data struct"
    return None


class Outbox:
    """Frames on their way to the feeder; several threads put, one writes."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._queue: deque[Frame] = deque()
        self.put = self._queue.append

    def tell(self, on: str, **fields: object) -> None:
        """Queue one callback."""
        self.put(_say(on, **fields))

    # To wake a waiting thread costs the callback more than all else that it does, so nobody does.
    def write_forever(self) -> None:
        """Write until the feeder is gone."""
        written, pause = monotonic(), GATHER_SECONDS
        while True:
            sleep(pause)
            if frames := self.take():
                self.write(frames)
                written, pause = monotonic(), GATHER_SECONDS
            elif monotonic() - written > ALIVE_SECONDS:
                self.write([_say("alive")])
                written, pause = monotonic(), QUIET_GATHER_SECONDS

    def take(self) -> list[Frame]:
        """Return what is to be written next, oldest first."""
        return [self._queue.popleft() for _ in range(min(len(self._queue), MOST_WRITTEN))]

    def shed(self) -> None:
        """Drop the oldest market data beyond what may wait, and say so in its place."""
        count = len(self._queue) - MOST_QUEUED
        if count <= 0:
            return
        oldest = [self._queue.popleft() for _ in range(count)]
        told = [frame for frame in oldest if frame.startswith(b"{")]
        self._queue.extendleft([_say("overflowed", count=count - len(told)), *reversed(told)])

    def write(self, frames: list[Frame]) -> None:
        """Write frames, however long the feeder takes to read them."""
        parts: list[bytes] = []
        for frame in frames:
            parts += len(frame).to_bytes(4, "little"), frame
        rest = memoryview(b"".join(parts))
        try:
            while rest:
                _, free, _ = select([], [self._channel], [], BLOCKED_LOOK_SECONDS)
                if free:
                    rest = rest[self._channel.send(rest) :]
                else:
                    self.shed()
        except OSError:
            os._exit(0)


def _say(on: str, **fields: object) -> Frame:
    return json.dumps({"on": on, **fields}).encode()


def build_spi(
    binding: Any, api: Any, outbox: Outbox, login: dict[str, str], depth_bytes: int
) -> Any:
    """Return the object whose methods the library calls, on a thread of its own."""
    put = outbox.put
    # Read through an array that stays, because the library gives the same address again and again:
    # a tenth of what `ctypes.string_at` takes, which calls a foreign function.
    struct_at = (ctypes.c_char * depth_bytes).from_address
    address, struct_there = 0, (ctypes.c_char * depth_bytes)()

    class Spi(binding.CThostFtdcMdSpi):  # type: ignore[misc]  # the binding is not typed
        def OnFrontConnected(self) -> None:  # noqa: N802 - the library's names, here and below
            # Never given back: the interpreter keeps its notes on the library's thread instead of
            # making them anew for each callback, which is most of what one costs.
            ctypes.pythonapi.PyGILState_Ensure()
            request = binding.CThostFtdcReqUserLoginField()
            if unfit := fill_login(request, login):
                outbox.tell("login", error=UNFIT_LOGIN, message=f"{unfit} is too long for CTP")
                return
            outbox.tell("connected", error=api.ReqUserLogin(request, 1))

        def OnFrontDisconnected(self, reason: int) -> None:  # noqa: N802
            outbox.tell("disconnected", error=reason)

        def OnRspUserLogin(self, answer: Any, info: Any, number: int, last: bool) -> None:  # noqa: N802
            error, message = read_info(info)
            day = answer.TradingDay if answer is not None else ""
            outbox.tell("login", error=error, message=message, trading_day=day)

        def OnRspError(self, info: Any, number: int, last: bool) -> None:  # noqa: N802
            error, message = read_info(info)
            outbox.tell("error", error=error, message=message)

        def OnRspSubMarketData(self, which: Any, info: Any, number: int, last: bool) -> None:  # noqa: N802
            error, message = read_info(info)
            symbol = which.InstrumentID if which is not None else ""
            outbox.tell("subscribed", symbol=symbol, error=error, message=message)

        def OnRtnDepthMarketData(self, depth: Any) -> None:  # noqa: N802
            nonlocal address, struct_there
            if address != int(depth):
                address = int(depth)
                struct_there = struct_at(address)
            put(struct_there.raw)

    return Spi()


def fill_login(request: Any, login: dict[str, str]) -> str | None:
    """Return which part of a login the library has no room for, None when all fit."""
    for name, part in LOGIN_FIELDS.items():
        try:
            setattr(request, name, login.get(part, ""))
        except (TypeError, ValueError):
            return part
    return None


def read_info(info: Any) -> tuple[int, str]:
    """Return the number and text of an answer's error; 0 where there is none."""
    return (0, "") if info is None else (int(info.ErrorID), str(info.ErrorMsg))


def serve(api: Any, outbox: Outbox) -> None:
    """Carry out requests until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        symbols = [symbol.encode() for symbol in request["symbols"]]
        if request["do"] == "subscribe":
            code = api.SubscribeMarketData(symbols, len(symbols))
            outbox.tell("sent", error=code, symbols=request["symbols"])
        else:
            api.UnSubscribeMarketData(symbols, len(symbols))


def main() -> None:
    """Load the library, log in and hand over what it says."""
    package, depth_bytes = sys.argv[1], int(sys.argv[2])
    outbox = Outbox(socket.socket(fileno=int(sys.argv[3])))
    Thread(target=outbox.write_forever, daemon=True).start()
    try:
        binding: Any = load_binding(package)
        problem = check_layout(binding, depth_bytes)
    except ImportError as error:
        problem = str(error)
    outbox.tell("loaded", message=problem or "")
    start = json.loads(sys.stdin.readline())
    api = binding.CThostFtdcMdApi.CreateFtdcMdApi(start["folder"])
    spi = build_spi(binding, api, outbox, start["login"], depth_bytes)
    api.RegisterSpi(spi)
    for front in start["fronts"]:
        api.RegisterFront(front)
    # What was made so far stays, and collecting the rest would only keep a callback waiting.
    gc.freeze()
    gc.disable()
    api.Init()
    serve(api, outbox)
    # The library is left as it is: its own clean end may wait for a front that is gone.
    os._exit(0)


if __name__ == "__main__":
    main()
