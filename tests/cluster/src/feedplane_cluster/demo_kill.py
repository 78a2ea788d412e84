"""The demo's last act: the feeder that publishes is killed, and the tape shows it nowhere."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from rich.table import Table

from feedplane_cluster.demo_inputs import Manifest
from feedplane_cluster.errors import CommandError, NotReadyError
from feedplane_cluster.process import run
from feedplane_cluster.progress import note, step

FEED = "binance-spot"
LEASE = f"{FEED}-publisher-0"
REASON = "feedplane.dev/reason"
BEFORE_SECONDS = 5
AFTER_SECONDS = 8
TAKEOVER_SECONDS = 40.0
HOT_SECONDS = 60.0
BAR_WIDTH = 40

LEDGER = """
select instrument_id as instrument, channel, cause, from_id, to_id,
       to_char(detected_at at time zone 'utc', 'HH24:MI:SS') as found,
       coalesce(filled_by, reason, 'open') as state
from feedplane.gaps where instrument_id like '%.BINANCE-SPOT' and detected_at >= '{since}'
order by detected_at limit 20
"""
LEDGER_COUNTS = """
select count(*) as rows, count(*) filter (where filled_at is not null) as filled,
       count(*) filter (where filled_at is null and reason is null) as open
from feedplane.gaps
"""
SECONDS = """
select extract(epoch from date_trunc('second', at))::bigint, count(*)
from (select ts_recv as at from feedplane.trades
       where instrument_id like '%.BINANCE-SPOT' and ts_event >= '{since}'
      union all
      select ts_recv from feedplane.quotes
       where instrument_id like '%.BINANCE-SPOT' and ts_event >= '{since}') as ticks
where at >= '{since}' and at < '{until}' group by 1 order by 1
"""


class Cluster(Protocol):
    """What this act needs of kubectl; the demo's does."""

    def __call__(self, *arguments: str) -> str:
        """Run kubectl in the demo's namespace."""

    def query(self, sql: str, *options: str) -> str:
        """Ask the demo's database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Who publishes, by the Lease."""

    account: str
    pod: str
    transitions: int
    reason: str


def read_publisher(lease: Manifest) -> Publisher:
    """Read a publisher Lease."""
    spec: dict[str, Any] = lease.get("spec") or {}
    account, _, pod = str(spec.get("holderIdentity") or "/").partition("/")
    notes = lease["metadata"].get("annotations") or {}
    return Publisher(
        account=account,
        pod=pod,
        transitions=int(spec.get("leaseTransitions") or 0),
        reason=str(notes.get(REASON, "")),
    )


def seconds_table(
    counts: Sequence[tuple[int, int]], first: int, last: int, marks: dict[int, str]
) -> Table:
    """Lay out rows per second, the empty seconds too.

    Shape: counts are (second since the epoch, rows); first and last are seconds, both shown.
    """
    known = dict(counts)
    most = max(known.values(), default=0) or 1
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Second")
    table.add_column("Rows", justify="right")
    table.add_column("")
    table.add_column("What happened")
    for second in range(first, last + 1):
        count = known.get(second, 0)
        clock = datetime.fromtimestamp(second, UTC).strftime("%H:%M:%S")
        bar = "█" * round(BAR_WIDTH * count / most)
        table.add_row(clock, str(count), bar, marks.get(second, ""))
    return table


def who_table(before: Publisher, after: Publisher) -> Table:
    """Lay out who published before and after, and why."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "Active", "Feeder", "Handovers", "Why"):
        table.add_column(column)
    for label, each in (("before", before), ("after", after)):
        table.add_row(label, each.account, each.pod, str(each.transitions), each.reason)
    return table


class KillAct:
    """Kills the active feeder and shows what became of the tape."""

    def __init__(
        self,
        kubectl: Cluster,
        nodes: Sequence[str],
        show: Callable[[str, str | Table], None],
    ) -> None:
        self._kubectl = kubectl
        self._nodes = nodes
        self._show = show

    def play(self) -> None:
        """Kill, wait, show.

        Raises: NotReadyError where nobody takes over.
        """
        with step("Waiting for the standby to be hot"):
            self._wait(self._both_ready, "both feeders ready", HOT_SECONDS)
        before = self._publisher()
        time.sleep(BEFORE_SECONDS)
        with step(f"Killing the active feeder, {before.pod} (kill -9)"):
            killed = datetime.now(UTC)
            self._kill(before.pod)
        with step("Waiting for the standby to take over"):
            self._wait(lambda: self._taken(before), "another publisher", TAKEOVER_SECONDS)
        taken = datetime.now(UTC)
        note(f"taken over {(taken - killed).total_seconds():.1f} s after the kill")
        time.sleep(AFTER_SECONDS)
        after = self._publisher()
        self._show("Who publishes", who_table(before, after))
        self._show(
            "The tape across the kill, by the second of receipt", self._seconds(killed, taken)
        )
        since = (killed - timedelta(seconds=1)).isoformat()
        self._show("What the ledger says of it", self._kubectl.query(LEDGER.format(since=since)))
        self._show("The ledger in all", self._kubectl.query(LEDGER_COUNTS))

    def _publisher(self) -> Publisher:
        return read_publisher(json.loads(self._kubectl("get", "lease", LEASE, "--output", "json")))

    def _taken(self, before: Publisher) -> bool:
        now = self._publisher()
        return bool(now.account) and now.transitions > before.transitions

    def _both_ready(self) -> bool:
        answer = self._kubectl("get", "feedsource", FEED, "--output", "json")
        conditions = json.loads(answer).get("status", {}).get("conditions", ())
        return {"Ready", "Redundant"} <= {
            each["type"] for each in conditions if each["status"] == "True"
        }

    def _kill(self, name: str) -> None:
        pod = json.loads(self._kubectl("get", "pod", name, "--output", "json"))
        node = pod["spec"]["nodeName"]
        if node not in self._nodes:  # not kind's: there is no way to its processes
            self._kubectl("delete", "pod", name, "--force", "--grace-period=0", "--wait=false")
            return
        container = pod["status"]["containerStatuses"][0]["containerID"].partition("//")[2]
        run(
            *("docker", "exec", node, "ctr", "--namespace=k8s.io"),
            *("task", "kill", "--signal", "SIGKILL", container),
        )

    def _seconds(self, killed: datetime, taken: datetime) -> Table:
        begin = killed - timedelta(seconds=BEFORE_SECONDS)
        end = taken + timedelta(seconds=AFTER_SECONDS - 2)
        sql = SECONDS.format(
            since=begin.replace(microsecond=0).isoformat(),
            until=end.replace(microsecond=0).isoformat(),
        )
        answer = self._kubectl.query(sql, "--tuples-only", "--no-align", "--field-separator", " ")
        counts = [
            (int(a), int(b)) for a, b in (line.split() for line in answer.splitlines() if line)
        ]
        marks = {int(taken.timestamp()): "the standby publishes, from its buffer first"}
        marks[int(killed.timestamp())] = "kill -9 of the active feeder"
        return seconds_table(counts, int(begin.timestamp()), int(end.timestamp()) - 1, marks)

    def _wait(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if ready():
                    return
            except CommandError:
                pass  # The API server may be busy; the deadline decides.
            if time.monotonic() > deadline:
                raise NotReadyError(what, seconds, self._kubectl("get", "pods,fs,lease"))
            time.sleep(0.3)
