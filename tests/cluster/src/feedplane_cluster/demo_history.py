"""The demo's acts on a complete tape: days brought in, frames dropped and refilled, the report."""

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table

from feedplane_cluster.demo_inputs import NAMESPACE, Manifest
from feedplane_cluster.demo_kill import FEED, read_publisher
from feedplane_cluster.errors import ClusterError, NotReadyError
from feedplane_cluster.progress import note, step

BACKFILL = "majors-last-days"
INSTRUMENTS = ("BTCUSDT", "ETHUSDT")
DAYS = 2
BACKFILL_SECONDS = 180.0
DROP_SHARE = 0.05
DROP_SECONDS = 5
FILL_SECONDS = 60.0
FAULTS = f"/api/v1/namespaces/{NAMESPACE}/services/feedplane-simulator:9000/proxy/faults"

LEDGER = """
select coalesce(sum((state = 'open')::int), 0), coalesce(sum((state = 'filling')::int), 0),
       coalesce(sum((state = 'filled')::int), 0), coalesce(sum((state = 'unfillable')::int), 0),
       coalesce(sum(rows), 0)
from feedplane.gaps
where instrument_id like '%.BINANCE-SPOT' and channel = 'trade' and detected_at >= '{since}'
"""
ROWS = """
select instrument_id as instrument, from_id, to_id, cause, state, filled_by as by, rows,
       round(extract(epoch from filled_at - detected_at)::numeric, 2) as seconds
from feedplane.gaps
where instrument_id like '%.BINANCE-SPOT' and channel = 'trade' and detected_at >= '{since}'
order by detected_at limit 12
"""


class Cluster(Protocol):
    """What these acts need of kubectl; the demo's does."""

    @property
    def program(self) -> Path:
        """kubectl."""

    @property
    def kubeconfig(self) -> Path:
        """The cluster's."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the demo's namespace."""

    def apply(self, manifests: Sequence[Manifest]) -> str:
        """Apply manifests."""

    def query(self, sql: str, *options: str) -> str:
        """Ask the demo's database."""


def backfill_manifest(now: datetime) -> Manifest:
    """Return a Backfill of the days before today and of today's minutes until now.

    The archive has no file of today, so that part comes by REST and meets what came live.
    """
    end = now.replace(second=0, microsecond=0)
    start = end.replace(hour=0, minute=0) - timedelta(days=DAYS)
    return {
        "apiVersion": "feedplane.dev/v1alpha1",
        "kind": "Backfill",
        "metadata": {"name": BACKFILL},
        "spec": {
            "feedSourceRef": {"name": FEED},
            "instruments": list(INSTRUMENTS),
            "channels": ["bar-1m"],
            "range": {"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"},
        },
    }


def told(manifest: Manifest, kind: str) -> dict[str, Any]:
    """Return a condition of a resource, empty where it has none."""
    conditions = manifest.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind), {})


def ledger_table(seen: Sequence[tuple[float, Sequence[int]]]) -> Table:
    """Lay out the ledger's counts over time.

    Shape: (seconds since the first dropped frame, counts of open, filling, filled, unfillable and
    rows brought back), in the order of time.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("After", "Open", "Filling", "Filled", "Unfillable", "Rows brought back"):
        table.add_column(column, justify="right")
    for seconds, counts in seen:
        table.add_row(f"{seconds:.1f} s", *map(str, counts))
    return table


class HistoryActs:
    """Plays them one after the other."""

    def __init__(
        self, kubectl: Cluster, folder: Path, show: Callable[[str, str | Table], None]
    ) -> None:
        self._kubectl = kubectl
        self._folder = folder
        self._show = show

    def play(self) -> None:
        """Bring history in, drop frames and see them filled, write the report.

        Raises: ClusterError where one does not come to its end.
        """
        self._bring_history()
        self._drop_frames()
        self._report()

    def _bring_history(self) -> None:
        self._kubectl("delete", "backfill", BACKFILL, "--ignore-not-found")
        with step(f"Bringing in {DAYS} days of 1-minute bars, and today's, by a Backfill"):
            self._kubectl.apply([backfill_manifest(datetime.now(UTC))])
            deadline, last = time.monotonic() + BACKFILL_SECONDS, ""
            while True:
                found = json.loads(self._kubectl("get", "backfill", BACKFILL, "-o", "json"))
                done = found.get("status", {}).get("progress") or {}
                reason = told(found, "Running").get("reason", "Pending")
                line = f"{reason}: {done.get('percent', 0)} %, {done.get('rowsWritten', 0)} rows"
                if line != last:
                    note(line)
                last = line
                if told(found, "Succeeded").get("status") == "True":
                    break
                if told(found, "Failed").get("status") == "True" or time.monotonic() > deadline:
                    detail = self._kubectl("describe", "backfill", BACKFILL)
                    raise NotReadyError("the Backfill to succeed", BACKFILL_SECONDS, detail)
                time.sleep(0.5)
        self._show("kubectl get backfills -o wide", self._kubectl("get", "bf", "-o", "wide"))

    def _drop_frames(self) -> None:
        lease = json.loads(self._kubectl("get", "lease", f"{FEED}-publisher-0", "-o", "json"))
        fault = {
            "kind": "skip",
            "market": "spot",
            "client": read_publisher(lease).account,
            "streams": "*@aggTrade",
            "probability": DROP_SHARE,
            "seconds": DROP_SECONDS,
        }
        began = datetime.now(UTC)
        seen: list[tuple[float, Sequence[int]]] = []
        with step(f"Dropping {DROP_SHARE:.0%} of the trades at the venue for {DROP_SECONDS} s"):
            self._kubectl("create", "--raw", FAULTS, "-f", "-", stdin=json.dumps(fault))
            while not (seen and self._is_over(*seen[-1])):
                seconds = (datetime.now(UTC) - began).total_seconds()
                if seconds > DROP_SECONDS + FILL_SECONDS:
                    detail = self._kubectl.query(ROWS.format(since=began.isoformat()))
                    raise NotReadyError("the gaps to be filled", FILL_SECONDS, detail)
                seen.append((seconds, self._ledger(began)))
                time.sleep(0.5)
        self._show("The ledger meanwhile", ledger_table(seen))
        self._show("Its rows", self._kubectl.query(ROWS.format(since=began.isoformat())))

    @staticmethod
    def _is_over(seconds: float, counts: Sequence[int]) -> bool:
        opened, filling, filled, unfillable, _ = counts
        return seconds > DROP_SECONDS and not opened + filling and bool(filled + unfillable)

    def _ledger(self, since: datetime) -> list[int]:
        sql = LEDGER.format(since=since.isoformat())
        answer = self._kubectl.query(sql, "--tuples-only", "--no-align", "--field-separator", " ")
        return [int(count) for count in answer.split()]

    def _report(self) -> None:
        folder = self._folder / "quality"
        with step("Writing the quality report of Subscription majors"), self._database() as dsn:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "feedplane_cli", "report", "quality", "majors"),
                    *("--namespace", NAMESPACE, "--kubeconfig", str(self._kubectl.kubeconfig)),
                    *("--output", str(folder)),
                ],
                env={"FEEDPLANE_DSN": dsn, "PATH": "/usr/bin:/bin", "COLUMNS": "110"},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        if not (folder / "quality.html").is_file():
            raise ClusterError(f"feedplane report quality wrote no page: {done.stderr}")
        self._show("feedplane report quality majors", done.stdout)
        note(f"the page with plots: {folder / 'quality.html'}")

    @contextmanager
    def _database(self) -> Iterator[str]:
        secret = json.loads(self._kubectl("get", "secret", "feedplane-database", "-o", "json"))
        password = base64.b64decode(secret["data"]["password"]).decode()
        command = [
            *(str(self._kubectl.program), "--kubeconfig", str(self._kubectl.kubeconfig)),
            *("--namespace", NAMESPACE, "port-forward", "service/feedplane-database", ":5432"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
            try:
                line = forward.stdout.readline() if forward.stdout else ""
                found = re.search(r"127\.0\.0\.1:(\d+)", line)
                if not found:
                    raise ClusterError(f"kubectl port-forward said {line!r}")
                yield f"postgresql://feedplane:{password}@127.0.0.1:{found[1]}/feedplane"
            finally:
                forward.kill()
