"""VENUES: every venue the simulator can host beside its built-in markets, one line each."""

from collections.abc import Mapping
from typing import Final

from feedplane_simulator import alpaca, alpha, baostock, ctp, eastmoney, fushu
from feedplane_simulator.hosted import Factory

VENUES: Final[Mapping[str, Factory]] = {
    "alpaca": alpaca.AlpacaVenue,
    "baostock": baostock.BaoStockVenue,
    "binance-alpha": alpha.AlphaVenue,
    "ctp": ctp.CtpVenue,
    "ctp-sopt": ctp.CtpOptionsVenue,
    "eastmoney": eastmoney.EastMoneyVenue,
    "fushu": fushu.FushuVenue,
    "fushu-sina": fushu.FushuVenue,
    "fushu-tencent": fushu.FushuVenue,
}
"""Name -> factory, alphabetical, literal imports; the name is that of the adapter."""
FURTHER_PORTS: Final = frozenset({"ctp-list", "ctp-sopt-list"})
"""What hosted venues open beside their own ports, where a port may be told as well."""
