"""`feedplane status`: who is active and why, what is covered, what is missing."""

import asyncio
import json
from dataclasses import replace

import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from feedplane_cli.clock import utc_now
from feedplane_cli.cluster import Cluster, connect
from feedplane_cli.core.feed_view import FeedView, describe
from feedplane_cli.errors import ExitStatus, UnreachableError
from feedplane_cli.place import Place
from feedplane_cli.reading import read_views
from feedplane_cli.render.status import render_status
from feedplane_cli.render.words import BAD
from feedplane_cli.terminal import Output, complain, draw, make_console, write_plain


async def show_status(
    place: Place, name: str, output: Output, *, everywhere: bool, watch_seconds: float | None
) -> ExitStatus:
    """Show FeedSources once, or again and again."""
    async with connect(place) as cluster:
        namespace = "" if everywhere else cluster.namespace
        if watch_seconds is not None:
            await _watch(cluster, namespace, name, output, watch_seconds)
        views = await read_views(cluster, namespace, name)
    _write(views, output, namespace)
    return verdict(views)


def verdict(views: tuple[FeedView, ...]) -> ExitStatus:
    """Return the exit code that goes with what is shown."""
    good = all(view.healthy for view in views)
    return ExitStatus.HEALTHY if good else ExitStatus.NOT_READY


def _write(views: tuple[FeedView, ...], output: Output, namespace: str) -> None:
    if output is Output.TABLE:
        draw(render_status(views, utc_now(), _where(namespace)))
        return
    document = {"feedSources": describe(views)}
    if output is Output.JSON:
        write_plain(json.dumps(document, indent=2))
    else:
        write_plain(yaml.safe_dump(document, sort_keys=False))


async def _watch(
    cluster: Cluster, namespace: str, name: str, output: Output, seconds: float
) -> None:
    console = make_console()
    if output is Output.TABLE and console.is_terminal:
        await _redraw(console, cluster, namespace, name, seconds)
    shown: tuple[FeedView, ...] | None = None
    while True:
        # Where nobody looks, only what changed is worth another table.
        try:
            views = await read_views(cluster, namespace, name)
        except UnreachableError as error:
            complain(error.message)
        else:
            if shown is None or _signed(views) != _signed(shown):
                _write(views, output, namespace)
                shown = views
        await asyncio.sleep(seconds)


async def _redraw(
    console: Console, cluster: Cluster, namespace: str, name: str, seconds: float
) -> None:
    views: tuple[FeedView, ...] = ()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            footer = Text(f"every {seconds:g} s, Ctrl-C ends", style="dim")
            try:
                views = await read_views(cluster, namespace, name)
            except UnreachableError as error:
                footer = Text(error.message, style=BAD)
            picture = render_status(views, utc_now(), _where(namespace))
            live.update(Group(picture, Text(""), footer), refresh=True)
            await asyncio.sleep(seconds)


def _signed(views: tuple[FeedView, ...]) -> tuple[FeedView, ...]:
    # Renewals, rate and lag move all the time.
    return tuple(
        replace(
            view,
            leases=tuple(replace(lease, renew_time=None) for lease in view.leases),
            events_per_second=None,
            lag_milliseconds=None,
        )
        for view in views
    )


def _where(namespace: str) -> str:
    return f" in namespace {namespace}" if namespace else ""
