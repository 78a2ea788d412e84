"""How long many FeedSources and Subscriptions take to be accepted and have their children.

`make bench ONLY=operator`: a real API server and etcd, no nodes; the operator runs as its image
starts it, with its own rights.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from support_resources import condition, feed_source, subscription
from tests.bench.results import write_bounds

from feedplane_cluster.control_plane import ControlPlane

GOAL_SECONDS = 90
GOAL_MEBIBYTES = 300
GIVE_UP_SECONDS = 900
WRITERS = 8
IDLE_SECONDS = 30
REST_SECONDS = 3
NAMESPACE = "scale"


def main(feeds: int = 300, subscriptions: int = 1000, *, record: bool = True) -> None:
    """Measure, print, and write the figures unless told not to."""
    with ControlPlane() as plane, tempfile.TemporaryDirectory() as folder:
        server = Server(plane.kubeconfig)
        define_kinds(server)
        server.make_namespace(NAMESPACE)
        kubeconfig = make_operator_account(plane, server, "operator")
        grant(server, OPERATOR_NAMESPACE, "operator")
        measured = measure(server, kubeconfig, Path(folder), feeds, subscriptions)
    for name, value in measured.items():
        print(f"{name}: {value}")
    if record:
        write_figures(measured, feeds, subscriptions)


def measure(
    server: Server, kubeconfig: Path, folder: Path, feeds: int, subscriptions: int
) -> dict[str, Any]:
    """Return the times and sizes of one run."""
    operator = start(kubeconfig, folder / "first.log")
    started = time.monotonic()
    create(server, feeds, subscriptions)
    created = time.monotonic() - started
    # Lists of everything are dear, so they are asked for only when the operator's queue is empty.
    wait(lambda: is_idle(operator) and finished(server, feeds, subscriptions))
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
    wait(lambda: again.total("feedplane_operator_reconciles_total") >= feeds + subscriptions)
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


def create(server: Server, feeds: int, subscriptions: int) -> None:
    """Create all resources, a few at a time."""
    manifests = [feed_source(f"feed-{number}", NAMESPACE) for number in range(feeds)]
    manifests += [
        subscription(
            f"want-{number}",
            f"feed-{number % feeds}",
            NAMESPACE,
            instruments=[f"S{number}USDT", f"T{number}USDT"],
        )
        for number in range(subscriptions)
    ]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(server.create, manifests))


def finished(server: Server, feeds: int, subscriptions: int) -> bool:
    """Return whether everything is accepted and every instrument is in a configuration."""
    accepted = [
        condition(resource, "Accepted").get("status") == "True"
        for kind in ("FeedSource", "Subscription")
        for resource in server.list(kind, NAMESPACE)
    ]
    if len(accepted) < feeds + subscriptions or not all(accepted):
        return False
    query = "?labelSelector=app.kubernetes.io/managed-by=feedplane"
    if len(server.list("Deployment", NAMESPACE, query)) < feeds:
        return False
    texts = [
        str(config["data"]["worker.yaml"]) for config in server.list("ConfigMap", NAMESPACE, query)
    ]
    return sum(text.count("symbol:") for text in texts) == 2 * subscriptions


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


def write_figures(measured: dict[str, Any], feeds: int, subscriptions: int) -> None:
    """Write the two figures."""
    details = {"feed_sources": feeds, "subscriptions": subscriptions, **measured}
    figures = (
        ("operator-scale-smoke-seconds", measured["seconds"], "s", GOAL_SECONDS),
        ("operator-scale-smoke-rss-mib", measured["peak_mebibytes"], "MiB", GOAL_MEBIBYTES),
    )
    write_bounds(figures, "make bench ONLY=operator", details)


if __name__ == "__main__":
    typer.run(main)
