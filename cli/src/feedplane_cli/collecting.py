"""Collecting a support bundle: everything about FeedSources that may be seen, and no Secret.

What cannot be had is written down and never stops the rest.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from feedplane_api.names import HTTP_PORT, Kind
from feedplane_cli.cluster import Cluster
from feedplane_cli.core.bundle import (
    Bundle,
    concerns,
    http_port,
    images,
    refers_to,
    restarted,
    running,
)
from feedplane_cli.core.documents import Manifest, name_of
from feedplane_cli.core.feed_view import build_views
from feedplane_cli.core.selectors import OPERATOR_SELECTOR, children_selector, feeder_selector
from feedplane_cli.errors import CliError
from feedplane_cli.render.status import render_status
from feedplane_cli.requests import PATHS, Request
from feedplane_cli.terminal import render_plain

T = TypeVar("T")
CHILD_KINDS: Final = (
    "ConfigMap",
    "Deployment",
    "Lease",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
)
WIDTH: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportChoice:
    """What a person wants in the bundle."""

    name: str
    """The FeedSource; empty takes all of the namespace."""
    operator_namespace: str
    tail: int
    """Lines of each log."""


class Collector:
    """Collects one bundle."""

    def __init__(self, cluster: Cluster, choice: ReportChoice, now: datetime) -> None:
        self._cluster = cluster
        self._choice = choice
        self._now = now
        self._space = cluster.namespace
        self.bundle = Bundle()

    async def collect(self) -> Bundle:
        """Read everything; a FeedSource that is named and not there is an error.

        Raises:
            CliError: the FeedSources themselves cannot be read.
        """
        name = self._choice.name
        if name:
            feeds = [await self._cluster.get(Kind.FEED_SOURCE.value, self._space, name)]
        else:
            feeds = await self._cluster.list(Kind.FEED_SOURCE.value, self._space)
        self.bundle.add_objects(self._folder("FeedSource"), feeds)
        names = {name_of(feed) for feed in feeds}
        subscriptions, backfills, pods, operators, *children = await asyncio.gather(
            self._list(Kind.SUBSCRIPTION.value),
            self._list(Kind.BACKFILL.value),
            self._list("Pod", labels=feeder_selector(name)),
            self._operator(),
            *(self._list(kind, labels=children_selector(name)) for kind in CHILD_KINDS),
        )
        subscriptions = [one for one in subscriptions if refers_to(one, names)]
        backfills = [one for one in backfills if refers_to(one, names)]
        self.bundle.add_objects(self._folder(Kind.SUBSCRIPTION.value), subscriptions)
        self.bundle.add_objects(self._folder(Kind.BACKFILL.value), backfills)
        self.bundle.add_objects(self._folder("Pod"), pods)
        for kind, found in zip(CHILD_KINDS, children, strict=True):
            self.bundle.add_objects(self._folder(kind), found)
        leases = children[CHILD_KINDS.index("Lease")]
        self._draw(feeds, subscriptions, leases)
        everything = [*feeds, *subscriptions, *backfills, *pods, *itertools.chain(*children)]
        await asyncio.gather(
            self._events({name_of(one) for one in everything}),
            self._versions(pods, operators),
            *(self._ask(pod) for pod in pods),
            *(self._read_log(pod, f"{self._space}/feeders/{name_of(pod)}") for pod in pods),
        )
        return self.bundle

    async def _operator(self) -> list[Manifest]:
        space = self._choice.operator_namespace
        pods, leases = await asyncio.gather(
            self._list("Pod", space, labels=OPERATOR_SELECTOR), self._list("Lease", space)
        )
        self.bundle.add_objects("operator/pods", pods)
        self.bundle.add_objects(
            "operator/leases", [one for one in leases if name_of(one).endswith("operator")]
        )
        if not pods:
            self.bundle.miss(
                "operator", f"no Pod of an operator in namespace {space}; see --operator-namespace"
            )
        await asyncio.gather(*(self._read_log(pod, f"operator/{name_of(pod)}") for pod in pods))
        return pods

    async def _events(self, names: set[str]) -> None:
        events = await self._list("Event")
        mine = [event for event in events if concerns(event, names)]
        self.bundle.add_objects(self._folder("Event"), mine)

    async def _versions(self, pods: list[Manifest], operators: list[Manifest]) -> None:
        server = await self._attempt("version of the API server", self._cluster.version())
        document = {
            "kubernetes": (server or {}).get("gitVersion"),
            "operatorImages": images(operators),
            "feederImages": images(pods),
        }
        self.bundle.add_json("versions.json", json.dumps(document))

    async def _ask(self, pod: Manifest) -> None:
        # Through the API server's proxy: reading alone, and no port is opened on this machine.
        folder = f"{self._space}/feeders/{name_of(pod)}"
        if not running(pod):
            self.bundle.miss(f"{folder}/status.json", "the Pod does not run")
            return
        for tail, file in (("status", "status.json"), ("metrics", "metrics.txt")):
            request = Request(
                verb="get",
                kind="Pod",
                namespace=self._space,
                name=name_of(pod),
                subresource="proxy",
                tail=tail,
                port=str(http_port(pod, HTTP_PORT)),
            )
            answer = await self._attempt(f"{folder}/{file}", self._cluster.text(request))
            if answer is None:
                continue
            add = self.bundle.add_json if file.endswith(".json") else self.bundle.add_text
            add(f"{folder}/{file}", answer)

    async def _read_log(self, pod: Manifest, folder: str) -> None:
        request = Request(
            verb="get",
            kind="Pod",
            namespace=pod["metadata"]["namespace"],
            name=name_of(pod),
            subresource="log",
        )
        lines = ("tailLines", str(self._choice.tail))
        wanted = [("log.txt", [lines])]
        wanted += [("previous-log.txt", [lines, ("previous", "true")])] if restarted(pod) else []
        for file, query in wanted:
            text = await self._attempt(f"{folder}/{file}", self._cluster.text(request, query))
            if text is not None:
                self.bundle.add_text(f"{folder}/{file}", text)

    async def _list(self, kind: str, space: str = "", *, labels: str = "") -> list[Manifest]:
        space = space or self._space
        what = f"{space}/{PATHS[kind][1]}"
        found = await self._attempt(what, self._cluster.list(kind, space, labels=labels))
        return found or []

    async def _attempt(self, what: str, asking: Awaitable[T]) -> T | None:
        try:
            return await asking
        except CliError as error:
            self.bundle.miss(what, error.message)
            return None

    def _draw(
        self, feeds: list[Manifest], subscriptions: list[Manifest], leases: list[Manifest]
    ) -> None:
        views = build_views(feeds, subscriptions, leases)
        self.bundle.add_text("status.txt", render_plain(render_status(views, self._now), WIDTH))

    def _folder(self, kind: str) -> str:
        return f"{self._space}/{PATHS[kind][1]}"
