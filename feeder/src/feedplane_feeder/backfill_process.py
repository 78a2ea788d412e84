"""One backfill worker from its configuration to its end: wiring, signals, the last word.

Must not know venues or stores by name, nor what a row is.
"""

import asyncio
import gc
import random  # noqa: TID251 - made here, passed on as an argument
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Final

from feedplane_api.backfill_worker import BackfillConfig, BackfillReport, render_termination
from feedplane_api.worker import Endpoints
from feedplane_feeder.allowance import build_allowance
from feedplane_feeder.archive import ArchiveClient
from feedplane_feeder.backfill import BackfillRun, plan_share
from feedplane_feeder.backfill_report import BackfillMetrics, build_report
from feedplane_feeder.backfill_server import BackfillServer
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.budget import Allowance
from feedplane_feeder.core.chunks import Series
from feedplane_feeder.core.exchange import PastVenue
from feedplane_feeder.core.history import History
from feedplane_feeder.core.ports import (
    Adapter,
    Capabilities,
    Clock,
    TransportKind,
    VenueLimits,
)
from feedplane_feeder.credentials import Login
from feedplane_feeder.endings import write_termination_log
from feedplane_feeder.errors import SinkUnavailableError, UnknownVenueError
from feedplane_feeder.log import get_log
from feedplane_feeder.pages import Fetcher, Pages
from feedplane_feeder.piece import Means
from feedplane_feeder.registry import HISTORIES, PAST_VENUES, find_adapter
from feedplane_feeder.rest import RestClient
from feedplane_feeder.run import build_registry
from feedplane_feeder.settings import Settings
from feedplane_feeder.sinks.factory import build_budget_store, build_history_store
from feedplane_feeder.sinks.postgres_columns import encode_bars
from feedplane_feeder.sinks.postgres_text import render_rows
from feedplane_feeder.transports.exchange_client import ExchangeClient

OPEN_TRIES: Final = 60
OPEN_PAUSE_SECONDS: Final = 5.0


async def run_backfill(config: BackfillConfig, settings: Settings) -> BackfillReport:
    """Run one worker to its end; its report is the termination message.

    Raises:
        UnknownVenueError: no venue of that name has a history.
        SinkRefusedError: the store can never work as it is.
        SinkUnavailableError: the store stayed away.
    """
    # Rows hold no cycles; to look for some among millions would take longer than to read them.
    gc.freeze()
    gc.disable()
    adapter, history = find_venue(config.venue), find_history(config.venue)
    clock, index = SystemClock(), settings.completion_index
    log = get_log("backfill", venue=config.venue, backfill=config.name, worker=index)
    endpoints = _endpoints(config, adapter)
    allowance = build_allowance(
        _weight_limit(config, adapter),
        clock,
        build_budget_store(config.sink, config.venue),
        endpoints.rest,
        backfill_percent=config.limits.backfill_share_percent,
    )
    store = build_history_store(config)
    metrics = BackfillMetrics(build_registry())
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        await _open(store.open)
        stack.push_async_callback(store.close)
        stack.push_async_callback(allowance.close)
        archive = await stack.enter_async_context(ArchiveClient(endpoints.archive or ""))
        rest = await stack.enter_async_context(
            _build_fetcher(config, adapter, endpoints.rest or "", allowance, clock)
        )
        now_us = clock.now_ns() // 1000
        means = Means(
            history=history,
            archive=archive,
            pages=Pages(
                history,
                rest,
                clock,
                pools={name: allowance.pool(name, pool) for name, pool in history.pools.items()},
            ),
            store=store,
            render=partial(render_rows, ts_recv_us=now_us),
            render_bars=partial(encode_bars, ts_recv_us=now_us),
            clock=clock,
            sources=config.sources,
            mode=config.mode,
        )
        config = _within_sessions(config, adapter)
        share = plan_share(config, list_series(config, adapter, history), index, clock.now_ns())
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        run = BackfillRun(config, share, means=means, store=store, rng=rng, log=log)

        def report(*, ended: bool = False) -> BackfillReport:
            return build_report(
                run.progress,
                clock.now_ns(),
                worker=index,
                ended=ended,
                banned_until_ns=allowance.banned_until_ns,
            )

        server = BackfillServer(report, metrics.registry, config.http_port)
        await server.start()
        stack.push_async_callback(server.stop)
        _stop_on_signals(stop)
        await run.run(stop, metrics)
        # Told to stop at the very end, it may have nothing left to do all the same.
        last = report(ended=run.progress.settled)
    write_termination_log(settings.termination_log, render_termination(last))
    return last


def find_history(venue: str) -> History:
    """Return the history of a venue.

    Raises:
        UnknownVenueError: there is none.
    """
    try:
        return HISTORIES[venue]
    except KeyError:
        raise UnknownVenueError(venue, tuple(sorted(HISTORIES))) from None


def find_venue(venue: str) -> Adapter | PastVenue:
    """Return the adapter of a venue, or what stands for it where there is nothing live.

    Raises:
        UnknownVenueError: there is none.
    """
    return PAST_VENUES.get(venue) or find_adapter(venue)


def list_series(
    config: BackfillConfig, adapter: Adapter | PastVenue, history: History
) -> tuple[Series, ...]:
    """Return what is wanted and has a history."""
    return tuple(
        Series(
            symbol=line.symbol, instrument_id=adapter.instrument_id(line.symbol), channel=channel
        )
        for line in config.wanted
        for channel in line.channels
        if history.carries(channel)
    )


def _limits(adapter: Adapter | PastVenue) -> VenueLimits:
    venue = PAST_VENUES.get(adapter.venue)
    return venue.limits if venue else find_adapter(adapter.venue).capabilities.limits


# Where sessions are counted, more workers than sessions would only lock each other out.
def _within_sessions(config: BackfillConfig, adapter: Adapter | PastVenue) -> BackfillConfig:
    if adapter.venue not in PAST_VENUES:
        return config
    most = _limits(adapter).sessions_per_account or config.workers
    return config.model_copy(update={"workers": min(config.workers, most)})


def _build_fetcher(
    config: BackfillConfig,
    adapter: Adapter | PastVenue,
    url: str,
    allowance: Allowance,
    clock: Clock,
) -> AbstractAsyncContextManager[Fetcher]:
    venue = PAST_VENUES.get(adapter.venue)
    if venue is not None and venue.exchange is not None:
        sessions = venue.limits.sessions_per_account or 1
        return ExchangeClient(venue.exchange, url, allowance, sessions)
    if venue is not None:
        capabilities = Capabilities(
            channels=frozenset(), transport=TransportKind.HTTP_POLLING, limits=venue.limits
        )
    else:
        capabilities = find_adapter(adapter.venue).capabilities
    login = Login(config.credentials_path, capabilities.credential_headers, {})
    return RestClient(url, login.headers, allowance, capabilities, clock)


def _weight_limit(config: BackfillConfig, adapter: Adapter | PastVenue) -> int:
    documented = _limits(adapter).request_weight_per_minute
    return min(config.limits.request_weight_per_minute or documented, documented)


def _endpoints(config: BackfillConfig, adapter: Adapter | PastVenue) -> Endpoints:
    own, chosen = adapter.endpoints, config.endpoints
    return Endpoints(rest=chosen.rest or own.rest, archive=chosen.archive or own.archive)


async def _open(open_store: Callable[[], Awaitable[None]]) -> None:
    for attempt in range(OPEN_TRIES):
        try:
            await open_store()
        except SinkUnavailableError:
            if attempt == OPEN_TRIES - 1:
                raise
            await asyncio.sleep(OPEN_PAUSE_SECONDS)
        else:
            return


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def ask() -> None:
        # A second signal ends the process at once; what was not remembered is fetched again.
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
