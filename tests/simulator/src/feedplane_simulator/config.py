"""What a simulator is told at start, and the rules each market enforces by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path


class Market(StrEnum):
    """The two Binance markets the simulator speaks for."""

    SPOT = "spot"
    USDM = "usdm"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRules:
    """Limits and cadences of one market.

    Source: binance-spot-api-docs web-socket-streams.md and rest-api.md (2026-07),
    developers.binance.com derivatives pages (2026-05).
    """

    ping_interval_seconds: float
    pong_timeout_seconds: float
    messages_per_second: int
    weight_per_minute: int
    depth_speeds_ms: Mapping[str, int]
    kline_interval_ms: int
    lifetime_seconds: float = 86_400.0
    shutdown_notice_seconds: float = 10.0
    streams_max: int = 1024
    connects_max: int = 300
    connects_window_seconds: float = 300.0
    ban_seconds: float = 120.0
    send_buffer_bytes: int = 64 * 1024 * 1024


SPOT_RULES = MarketRules(
    ping_interval_seconds=20.0,
    pong_timeout_seconds=60.0,
    messages_per_second=5,
    weight_per_minute=6000,
    depth_speeds_ms={"depth": 1000, "depth@100ms": 100},
    kline_interval_ms=2000,
)
USDM_RULES = MarketRules(
    ping_interval_seconds=180.0,
    pong_timeout_seconds=600.0,
    messages_per_second=10,
    weight_per_minute=2400,
    depth_speeds_ms={"depth": 250, "depth@500ms": 500, "depth@100ms": 100},
    kline_interval_ms=250,
)

CHANNELS = ("aggTrade", "trade", "bookTicker", "depth", "kline")
"""Channel families a generator may be told to emit; `trade` exists on spot only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Settings of one simulator process. A port of 0 takes any free one."""

    host: str = "127.0.0.1"
    spot_port: int = 0
    usdm_port: int = 0
    admin_port: int = 0
    markets: tuple[Market, ...] = tuple(Market)
    """The built-in markets to serve."""
    venues: Mapping[str, int] = field(default_factory=dict)
    """Hosted venues to serve and their ports, further ports of theirs too; see `venues.py`."""
    venue_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Settings of single hosted venues."""
    seed: int = 7
    id_base: int = 0
    """Added to every first id, so that a restarted venue does not number its events again."""
    rate: float = 2000.0
    """Events per second each market emits in total; at 0 only time still closes its bars."""
    symbols: int = 20
    channels: tuple[str, ...] = CHANNELS
    intervals: tuple[str, ...] = ("1m", "5m", "15m", "1h")
    recordings: Path | None = None
    recorded_pace: bool = True
    """Replay at the pace of the recording; otherwise at `rate`."""
    recordings_loop: bool = True
    history_minutes: int = 120
    """Bars served for the time before the start."""
    history_days: int = 0
    """Days of trades, bars and metrics before the start, by REST and archive; 0 has no archive."""
    history_trades_a_minute: int = 4
    archive_delay_seconds: float = 30_600.0
    """How long after the end of its day a file appears; below 0 it is there while it grows."""
    sessions_per_account: int | None = None
    """Connections an account may have at once in a market; None means any number."""
    valid_keys: tuple[str, ...] | None = None
    """Keys that may log in; None asks for none."""
    truth_bytes: int = 128 * 1024 * 1024
    tick_seconds: float = 0.01
    rules: Mapping[Market, MarketRules] = field(
        default_factory=lambda: {Market.SPOT: SPOT_RULES, Market.USDM: USDM_RULES}
    )

    def with_rules(self, **changes: float) -> "SimulatorConfig":
        """Return a copy with the same rule changes made in both markets."""
        rules = {market: replace(rules, **changes) for market, rules in self.rules.items()}  # type: ignore[arg-type]
        return replace(self, rules=rules)
