"""`feedplane logs`: the log lines of a FeedSource's feeders, side by side."""

import asyncio
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from feedplane_api.names import LABEL_ACCOUNT, LABEL_SHARD, Kind
from feedplane_cli.clock import utc_now
from feedplane_cli.cluster import Cluster, Query, connect
from feedplane_cli.core.documents import Manifest, entries, label, name_of, word
from feedplane_cli.core.durations import parse_duration
from feedplane_cli.core.log_lines import parse_line
from feedplane_cli.core.selectors import feeder_selector
from feedplane_cli.errors import (
    CliError,
    ExitStatus,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
)
from feedplane_cli.place import Place
from feedplane_cli.render.logs import pick_style, render_line
from feedplane_cli.requests import Request
from feedplane_cli.terminal import complain, make_console, write_plain

LOOK_SECONDS: Final = 2.0
"""How often new feeders are looked for while lines are followed."""
AGAIN_SECONDS: Final = 1.0
"""How long to wait before a stream that ended is opened again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChoice:
    """Which lines a person wants, and in what form."""

    account: str = ""
    shard: int | None = None
    follow: bool = False
    previous: bool = False
    since: str = ""
    tail: int | None = None
    raw: bool = False

    def query(self) -> list[tuple[str, str]]:
        """Return the query of the API."""
        query = [("follow", "true")] if self.follow else []
        query += [("previous", "true")] if self.previous else []
        if self.since:
            query.append(("sinceSeconds", str(parse_duration(self.since))))
        return query + ([("tailLines", str(self.tail))] if self.tail is not None else [])


class Printer:
    """Writes lines as a person wants them."""

    def __init__(self, feed: Manifest, *, raw: bool) -> None:
        self._accounts = [word(entry, "name") for entry in entries(feed, "spec", "accounts")]
        self._raw = raw
        self._console: Console = make_console()

    def write(self, pod: Manifest, line: str) -> None:
        """Write one line of a Pod."""
        if self._raw:
            write_plain(line)
            return
        account = label(pod, LABEL_ACCOUNT)
        prefix = f"{account}/{label(pod, LABEL_SHARD)}"
        style = pick_style(account, self._accounts)
        self._console.print(render_line(parse_line(line), prefix, style), soft_wrap=True)


async def show_logs(place: Place, name: str, choice: LogChoice) -> ExitStatus:
    """Write the lines there are, or with `follow` those to come as well."""
    query = choice.query()
    selector = feeder_selector(name, choice.account, choice.shard)
    async with connect(place) as cluster:
        feed = await cluster.get(Kind.FEED_SOURCE.value, cluster.namespace, name)
        printer = Printer(feed, raw=choice.raw)
        if choice.follow:
            await _follow(cluster, selector, printer, query)
        pods = await cluster.list("Pod", cluster.namespace, labels=selector)
        if not pods:
            raise NotFoundError(
                f"FeedSource {name} has no such feeder running.",
                f"See which accounts it has, and whether it is paused: feedplane status {name}",
            )
        return await _write_all(cluster, pods, printer, query)


async def _write_all(
    cluster: Cluster, pods: list[Manifest], printer: Printer, query: Query
) -> ExitStatus:
    texts = await asyncio.gather(
        *(cluster.text(_log_of(pod), query) for pod in pods), return_exceptions=True
    )
    found: list[tuple[str, int, Manifest, str]] = []
    failed: CliError | None = None
    for number, (pod, text) in enumerate(zip(pods, texts, strict=True)):
        if isinstance(text, CliError):
            failed = text
            complain(f"{name_of(pod)}: {text.message}", text.advice)
        elif isinstance(text, BaseException):
            raise text
        else:
            stamp = ""
            for line in text.splitlines():
                # A line without a time, as of a traceback, stays below the one before it.
                stamp = parse_line(line).clock or stamp
                found.append((stamp, number, pod, line))
    for _, _, pod, line in sorted(found, key=lambda entry: entry[:2]):
        printer.write(pod, line)
    return failed.status if failed is not None and not found else ExitStatus.HEALTHY


async def _follow(cluster: Cluster, selector: str, printer: Printer, query: Query) -> None:
    followed: set[str] = set()
    async with asyncio.TaskGroup() as group:
        while True:
            # A feeder that is replaced comes back under another name.
            for pod in await cluster.list("Pod", cluster.namespace, labels=selector):
                if word(pod, "metadata", "uid") not in followed:
                    followed.add(word(pod, "metadata", "uid"))
                    group.create_task(_follow_one(cluster, pod, printer, query))
            await asyncio.sleep(LOOK_SECONDS)


async def _follow_one(cluster: Cluster, pod: Manifest, printer: Printer, query: Query) -> None:
    while True:
        try:
            async for line in cluster.lines(_log_of(pod), query):
                printer.write(pod, line)
        except NotFoundError:
            return
        except (ForbiddenError, UnauthorizedError):
            raise
        except CliError as error:
            complain(f"{name_of(pod)}: {error.message}")
        # The container ended, or the connection did: go on where it stopped.
        since = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
        query = [("follow", "true"), ("sinceTime", since)]
        await asyncio.sleep(AGAIN_SECONDS)


def _log_of(pod: Manifest) -> Request:
    return Request(
        verb="get",
        kind="Pod",
        namespace=word(pod, "metadata", "namespace"),
        name=name_of(pod),
        subresource="log",
    )
