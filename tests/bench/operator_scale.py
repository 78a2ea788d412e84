"""How long many FeedSources and Subscriptions take to be accepted and have their children.

`make bench ONLY=operator`: a real API server and etcd, no nodes; the operator runs as its image
starts it, with its own rights. `make bench ONLY=operator-full` is three to five times as much,
Backfills too, and takes about a quarter of an hour.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from support_operator import (
    OPERATOR_NAMESPACE,
    OperatorProcess,
    Server,
    define_kinds,
    grant,
    make_operator_account,
)
from support_resources import BACKFILL, condition, feed_source, subscription
from tests.bench.results import write_bounds

from feedplane_cluster.control_plane import ControlPlane

GOAL_MEBIBYTES = 300
GIVE_UP_SECONDS = 1_800
WRITERS = 8
IDLE_SECONDS = 30
REST_SECONDS = 3
NAMESPACE = "scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is created."""

    feed_sources: int
    subscriptions: int
    backfills: int = 0

    @property
    def count(self) -> int:
        """All resources together."""
        return self.feed_sources + self.subscriptions + self.backfills


SMOKE = Scale(feed_sources=300, subscriptions=1_000)
FULL = Scale(feed_sources=1_000, subscriptions=5_000, backfills=500)


def main(*, full: bool = False, record: bool = True) -> None:
    """Measure, print, and write the figures unless told not to."""
    scale = FULL if full else SMOKE
    with ControlPlane() as plane, tempfile.TemporaryDirectory() as folder:
        server = Server(plane.kubeconfig)
        define_kinds(server)
        server.make_namespace(NAMESPACE)
        kubeconfig = make_operator_account(plane, server, "operator")
        grant(server, OPERATOR_NAMESPACE, "operator")
        measured = measure(server, kubeconfig, Path(folder), scale)
    for name, value in measured.items():
        print(f"{name}: {value}")
    if record:
        write_figures(measured, scale)


def measure(server: Server, kubeconfig: Path, folder: Path, scale: Scale) -> dict[str, Any]:
    """Return the times and sizes of one run."""
    operator = start(kubeconfig, folder / "first.log")
    started = time.monotonic()
    create(server, scale)
    created = time.monotonic() - started
    # Lists of everything are dear, so they are asked for only when the operator's queue is empty.
    wait(lambda: is_idle(operator) and finished(server, scale))
    done = time.monotonic() - started
    wait(lambda: at_rest(operator))
    writes = operator.total("feedplane_operator_writes_total")
    time.sleep(IDLE_SECONDS)
    idle_writes = operator.total("feedplane_operator_writes_total") - writes
    rss = operator.rss_mebibytes()
    peak = peak_mebibytes(operator)
    cpu = cpu_seconds(operator)
    operator.stop()
    restarted = time.monotonic()
    again = start(kubeconfig, folder / "second.log")
    wait(lambda: again.total("feedplane_operator_reconciles_total") >= scale.count)
    relist = time.monotonic() - restarted
    rewrites = again.total("feedplane_operator_writes_total")
    again.stop()
    return {
        "seconds": round(done, 1),
        "creating_seconds": round(created, 1),
        "children_applied": int(writes),
        "idle_writes": int(idle_writes),
        "rss_mebibytes": round(rss, 1),
        "peak_mebibytes": round(peak, 1),
        "cpu_seconds": round(cpu, 1),
        "restart_seconds": round(relist, 1),
        "restart_writes": int(rewrites),
    }


def start(kubeconfig: Path, log: Path) -> OperatorProcess:
    """Start an operator with its shipped pace and wait until it has listed everything."""
    operator = OperatorProcess(
        kubeconfig,
        log,
        "operator-0",
        FEEDPLANE_POLL_SECONDS="5",
        FEEDPLANE_LOG_LEVEL="INFO",
    )
    operator.wait_ready()
    return operator


def create(server: Server, scale: Scale) -> None:
    """Create all resources, a few at a time."""
    feeds = [f"feed-{number}" for number in range(scale.feed_sources)]
    manifests = [feed_source(name, NAMESPACE) for name in feeds]
    manifests += [
        subscription(
            f"want-{number}",
            feeds[number % len(feeds)],
            NAMESPACE,
            instruments=[f"S{number}USDT", f"T{number}USDT"],
        )
        for number in range(scale.subscriptions)
    ]
    manifests += [
        backfill(f"history-{number}", feeds[number % len(feeds)])
        for number in range(scale.backfills)
    ]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(server.create, manifests))


def backfill(name: str, feed: str) -> dict[str, Any]:
    """Return a Backfill of one instrument's day."""
    spec = BACKFILL["spec"] | {"feedSourceRef": {"name": feed}}  # type: ignore[operator]
    return BACKFILL | {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def finished(server: Server, scale: Scale) -> bool:
    """Return whether everything is accepted and every instrument is in a configuration."""
    accepted = [
        condition(resource, "Accepted").get("status") == "True"
        for kind in ("FeedSource", "Subscription", "Backfill")
        for resource in server.list(kind, NAMESPACE)
    ]
    if len(accepted) < scale.count or not all(accepted):
        return False
    query = "?labelSelector=app.kubernetes.io/managed-by=feedplane"
    if len(server.list("Deployment", NAMESPACE, query)) < scale.feed_sources:
        return False
    texts = [
        str(config["data"].get("worker.yaml"))
        for config in server.list("ConfigMap", NAMESPACE, query)
    ]
    return sum(text.count("symbol:") for text in texts) == 2 * scale.subscriptions


def is_idle(operator: OperatorProcess) -> bool:
    """Return whether nothing waits to be reconciled."""
    return operator.total("feedplane_operator_queue_depth") == 0


def at_rest(operator: OperatorProcess) -> bool:
    """Return whether the operator wrote nothing for some seconds."""
    before = operator.total("feedplane_operator_writes_total")
    time.sleep(REST_SECONDS)
    return operator.total("feedplane_operator_writes_total") == before


def wait(question: Callable[[], bool]) -> None:
    """Ask every second until the answer is yes."""
    end = time.monotonic() + GIVE_UP_SECONDS
    while not question():
        if time.monotonic() > end:
            raise TimeoutError(f"not finished after {GIVE_UP_SECONDS} s")
        time.sleep(1)


def peak_mebibytes(operator: OperatorProcess) -> float:
    """Return the most memory the process ever held."""
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cpu_seconds(operator: OperatorProcess) -> float:
    """Return the processor time the process took."""
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def write_figures(measured: dict[str, Any], scale: Scale) -> None:
    """Write the two figures."""
    full = scale == FULL
    seconds = (
        ("operator-scale-ready-seconds", 180) if full else ("operator-scale-smoke-seconds", 90)
    )
    memory = "operator-rss-mib" if full else "operator-scale-smoke-rss-mib"
    write_bounds(
        (
            (seconds[0], measured["seconds"], "s", seconds[1]),
            (memory, measured["peak_mebibytes"], "MiB", GOAL_MEBIBYTES),
        ),
        f"make bench ONLY={'operator-full' if full else 'operator'}",
        {**asdict(scale), **measured},
    )


if __name__ == "__main__":
    typer.run(main)
