"""The futures binding under the option binding's name, but for the one struct that differs.

Both libraries have the same virtual functions in the same order up to the last, and what a callback
is given is copied by its address; so only the struct's own layout has to be the other one.
"""

import ctypes
from types import SimpleNamespace
from typing import Any

import openctp_ctp.thostmduserapi as futures  # type: ignore[import-untyped]

CThostFtdcMdApi = futures.CThostFtdcMdApi
CThostFtdcMdSpi = futures.CThostFtdcMdSpi
CThostFtdcReqUserLoginField = futures.CThostFtdcReqUserLoginField

TEXTS = {"TradingDay": 0, "InstrumentID": 9, "ExchangeID": 40, "UpdateTime": 208, "ActionDay": 392}
DOUBLES = {"LastPrice": 80, "BidPrice1": 224}
INTEGERS = {"Volume": 136, "UpdateMillisec": 220, "AskVolume5": 376}
SIZE = 440


class CThostFtdcDepthMarketDataField(SimpleNamespace):
    """The struct of API 3.7.0, as far as anybody sets it."""

    def __init__(self) -> None:
        super().__init__()
        self._data = ctypes.create_string_buffer(SIZE)

    @property
    def this(self) -> int:
        """Where it lies."""
        return ctypes.addressof(self._data)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in TEXTS:
            self._data[TEXTS[name] : TEXTS[name] + len(value)] = value.encode()
        elif name in DOUBLES:
            ctypes.c_double.from_buffer(self._data, DOUBLES[name]).value = value
        elif name in INTEGERS:
            ctypes.c_int32.from_buffer(self._data, INTEGERS[name]).value = value
        else:
            super().__setattr__(name, value)
