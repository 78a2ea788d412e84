"""Waiting until what was asked for can be seen, and saying so meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Final

from feedplane_cli.clock import monotonic_seconds
from feedplane_cli.cluster import Cluster
from feedplane_cli.core.choices import say_standing
from feedplane_cli.core.feed_view import FeedView
from feedplane_cli.errors import TimedOutError, UnreachableError
from feedplane_cli.reading import read_views
from feedplane_cli.terminal import make_console

LOOK_SECONDS: Final = 0.25


async def wait_until(
    cluster: Cluster,
    name: str,
    seen: Callable[[FeedView], bool],
    *,
    what: str,
    timeout_seconds: float,
) -> tuple[FeedView, float]:
    """Look at a FeedSource until something is seen; the view, and how long it took.

    Raises:
        TimedOutError: it was not seen in time.
    """
    started = monotonic_seconds()
    view: FeedView | None = None
    with make_console(stderr=True).status(what):
        while True:
            try:
                (view,) = await read_views(cluster, cluster.namespace, name)
            except UnreachableError:
                # Feeders carry a change out without us; we only look on.
                if view is None and monotonic_seconds() - started > timeout_seconds:
                    raise
            elapsed = monotonic_seconds() - started
            if view is not None and seen(view):
                return view, elapsed
            if elapsed > timeout_seconds:
                said = say_standing(view) if view is not None else ""
                raise TimedOutError(
                    f"{what}: not done after {timeout_seconds:g} s. {said}".rstrip(),
                    f"The change stands in the spec. See: feedplane status {name}",
                )
            await asyncio.sleep(LOOK_SECONDS)
