"""Asking feeders what they carry: through the API server's Pod proxy, or at their own address."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import ValidationError

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import HTTP_PORT, LABEL_ACCOUNT, LABEL_SHARD, Kind
from feedplane_api.selectors import expand_selector
from feedplane_api.worker import (
    FailoverMode,
    FeederStatus,
    Listing,
    WorkerConfig,
    parse_worker_config,
)
from feedplane_cli.cluster import Cluster
from feedplane_cli.core.bundle import http_port, running
from feedplane_cli.core.documents import Manifest, label, name_of, word
from feedplane_cli.core.selectors import children_selector, feeder_selector
from feedplane_cli.core.should_list import Pair, ShouldList, build_should_list, read_configs
from feedplane_cli.core.subscription_check import Checked, Fault, Feeder, check_subscription
from feedplane_cli.errors import (
    CliError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
    UnreachableError,
    UsageError,
)
from feedplane_cli.requests import Request

ASK_SECONDS: Final = 10
Answer = tuple[FeederStatus | None, str]


async def check_in_cluster(cluster: Cluster, name: str) -> list[Checked]:
    """Check one Subscription of the namespace, or all of them.

    Raises:
        CliError: it is not there, or something cannot be read.
    """
    space = cluster.namespace
    if name:
        found = [await cluster.get(Kind.SUBSCRIPTION, space, name)]
    else:
        found = await cluster.list(Kind.SUBSCRIPTION, space)
    if not found:
        raise NotFoundError(f"There is no Subscription in namespace {space}.")
    feeds = sorted({word(one, "spec", "feedSourceRef", "name") for one in found})
    checked = []
    for feed_name in feeds:
        mine = [one for one in found if word(one, "spec", "feedSourceRef", "name") == feed_name]
        checked += await _check_feed(cluster, feed_name, mine)
    return checked


async def check_alone(config_file: Path, addresses: Sequence[str]) -> list[Checked]:
    """Check the should-list of a configuration file against feeders at their addresses.

    Raises:
        CliError: the file cannot be read, or no feeder answers.
    """
    config = _read_config(config_file)
    timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        answers = await asyncio.gather(*(_ask_at(http, one) for one in addresses))
        if not any(status for status, _ in answers):
            raise UnreachableError(f"No feeder answers at {', '.join(addresses)}.")
        pairs = await _expand(http, config, addresses)
    should = ShouldList(
        subscription=config_file.name,
        feed_source=config.feed_source.name,
        venue=config.venue,
        calendar="",
        schema="",
        pairs=pairs,
    )
    feeders = [
        Feeder(
            account=status.account if status else "",
            shard=status.shard if status else 0,
            pod=address,
            pairs=frozenset(pairs),
            status=status,
            error=error,
        )
        for address, (status, error) in zip(addresses, answers, strict=True)
    ]
    mode = config.election.mode if config.election else FailoverMode.HOT
    return [check_subscription(should, feeders, mode)]


def _read_config(path: Path) -> WorkerConfig:
    try:
        return parse_worker_config(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InvalidWorkerConfigError) as error:
        raise UsageError(f"{path} cannot be used: {error}") from None


async def _check_feed(cluster: Cluster, name: str, wanted: Sequence[Manifest]) -> list[Checked]:
    space = cluster.namespace
    feed, config_maps, pods = await asyncio.gather(
        cluster.get(Kind.FEED_SOURCE, space, name),
        cluster.list("ConfigMap", space, labels=children_selector(name)),
        cluster.list("Pod", space, labels=feeder_selector(name)),
    )
    configs = read_configs(config_maps)
    feeders = await asyncio.gather(*(_ask_for(cluster, one, pods) for one in configs))
    mode = FailoverMode(word(feed, "spec", "failover", "mode") or FailoverMode.HOT.value)
    return [
        check_subscription(build_should_list(one, feed, configs), feeders, mode) for one in wanted
    ]


async def _ask_for(cluster: Cluster, config: WorkerConfig, pods: Sequence[Manifest]) -> Feeder:
    place = (config.account.name, str(config.shard))
    pod = next(
        (
            one
            for one in pods
            if (label(one, LABEL_ACCOUNT), label(one, LABEL_SHARD)) == place and running(one)
        ),
        None,
    )
    status, error = (None, Fault.NO_FEEDER.value) if pod is None else await _ask_pod(cluster, pod)
    return Feeder(
        account=config.account.name,
        shard=config.shard,
        pod=name_of(pod) if pod is not None else "",
        pairs=frozenset(_pairs(config)),
        status=status,
        error=error,
    )


async def _ask_pod(cluster: Cluster, pod: Manifest) -> Answer:
    request = Request(
        verb="get",
        kind="Pod",
        namespace=cluster.namespace,
        name=name_of(pod),
        subresource="proxy",
        tail="status",
        port=str(http_port(pod, HTTP_PORT)),
    )
    try:
        return _parse(await cluster.text(request))
    except (ForbiddenError, UnauthorizedError):
        raise
    except CliError:
        return None, Fault.FEEDER_UNREACHABLE.value


async def _ask_at(http: aiohttp.ClientSession, address: str) -> Answer:
    try:
        async with http.get(f"{address.rstrip('/')}/status") as response:
            return _parse(await response.text())
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None, Fault.FEEDER_UNREACHABLE.value


def _parse(text: str) -> Answer:
    try:
        return FeederStatus.model_validate_json(text), ""
    except ValidationError:
        return None, Fault.STATUS_UNREADABLE.value


# Globs are expanded over the venue's list, for which the first feeder that has it is asked.
async def _expand(
    http: aiohttp.ClientSession, config: WorkerConfig, addresses: Sequence[str]
) -> tuple[Pair, ...]:
    pairs = set(_pairs(config))
    listed = await _list_instruments(http, addresses) if config.selectors else ()
    for selector in config.selectors:
        symbols = expand_selector(
            selector.include, selector.exclude, selector.max_instruments, listed
        )
        pairs |= {(symbol, channel) for symbol in symbols for channel in selector.channels}
    return tuple(sorted(pairs))


async def _list_instruments(
    http: aiohttp.ClientSession, addresses: Sequence[str]
) -> tuple[str, ...]:
    for address in addresses:
        try:
            async with http.get(f"{address.rstrip('/')}/instruments") as response:
                listing = Listing.model_validate_json(await response.text())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            continue
        return tuple(one.symbol for one in listing.instruments if one.trading)
    raise UnreachableError(
        "No feeder tells the venue's instruments, which the globs are looked up in."
    )


def _pairs(config: WorkerConfig) -> list[Pair]:
    return [(line.symbol, channel) for line in config.wanted for channel in line.channels]
