"""How long many Backfills created at once take to stand in line, and all to come to their end.

`make bench ONLY=queue`: a real API server with its Job controller and no nodes; each Pod is
ended as a kubelet would, a moment after it is there. FeedSources are created all the while: how
soon one has its Deployment says whether the operator still listens.
"""

import tempfile
import threading
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import typer
from support_kubelet import end_pod
from support_operator import (
    OPERATOR_NAMESPACE,
    Server,
    define_kinds,
    grant,
    make_operator_account,
    wait_for,
)
from support_resources import BACKFILL, condition, feed_source
from tests.bench.operator_scale import WRITERS, cpu_seconds, peak_mebibytes, start
from tests.bench.results import write_bounds

from feedplane_api.backfill_worker import BackfillReport, render_termination
from feedplane_cluster.control_plane import ControlPlane

GOAL_ANSWER_SECONDS = 10
"""As soon as a deleted child must be back."""
GIVE_UP_SECONDS = 1_800
ASK_SECONDS = 0.3
PROBE_SECONDS = 5
NAMESPACE, PROBES = "queue", "probes"
WORKERS = "?labelSelector=app.kubernetes.io/component=backfill"
LAST_WORDS = render_termination(
    BackfillReport(chunks_total=1, chunks_done=1, rows_new=1_440, rows_expected=1_440, ended=True)
)


class Kubelet:
    """Ends every Pod of a Backfill, and remembers how many there were at once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.most_pods = 0

    def step(self) -> None:
        """End what is there."""
        pods = self._server.list("Pod", NAMESPACE, f"{WORKERS}&fieldSelector=status.phase=Pending")
        self.most_pods = max(self.most_pods, len(pods))
        for pod in pods:
            # It may be gone by now.
            with suppress(urllib.error.HTTPError):
                end_pod(self._server, NAMESPACE, pod["metadata"]["name"], LAST_WORDS)


class Prober:
    """Creates a FeedSource now and then, and takes the time until it has its Deployment."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.answers: list[float] = []

    def step(self) -> None:
        """Create one, wait, delete it."""
        name = f"probe-{len(self.answers)}"
        started = time.monotonic()
        self._server.create(feed_source(name, PROBES))
        wait_for(lambda: self._server.get("Deployment", PROBES, f"{name}-a-0"), GIVE_UP_SECONDS)
        self.answers.append(time.monotonic() - started)
        self._server.delete("FeedSource", PROBES, name)


@contextmanager
def repeat(action: Kubelet | Prober, seconds: float) -> Iterator[None]:
    """Take a step again and again in a thread of its own."""
    over = threading.Event()

    def work() -> None:
        action.step()
        while not over.wait(seconds):
            action.step()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            yield
        finally:
            over.set()
            running.result()


def main(backfills: int = 2_000, *, record: bool = True) -> None:
    """Measure, print, and write the figures unless told not to."""
    with ControlPlane(controllers=True) as plane, tempfile.TemporaryDirectory() as folder:
        server = Server(plane.kubeconfig)
        define_kinds(server)
        server.make_namespace(NAMESPACE)
        server.make_namespace(PROBES)
        kubeconfig = make_operator_account(plane, server, "operator")
        grant(server, OPERATOR_NAMESPACE, "operator")
        measured = measure(server, kubeconfig, Path(folder), backfills)
    for name, value in measured.items():
        print(f"{name}: {value}")
    if record:
        write_figures(measured)


def measure(server: Server, kubeconfig: Path, folder: Path, backfills: int) -> dict[str, Any]:
    """Return the times and sizes of one run."""
    operator = start(kubeconfig, folder / "operator.log")
    server.create(feed_source("spot", NAMESPACE))
    kubelet, prober = Kubelet(server), Prober(server)
    started = time.monotonic()
    with repeat(prober, PROBE_SECONDS):
        create(server, backfills)
        created = time.monotonic() - started
        wait_for(lambda: all(reasons(server)), GIVE_UP_SECONDS)
        queued = time.monotonic() - started
        begun = len(server.list("Job", NAMESPACE, WORKERS))
        with repeat(kubelet, ASK_SECONDS):
            while (left := count_left(server)) and time.monotonic() - started < GIVE_UP_SECONDS:
                print(f"{backfills - left} of {backfills} ended", flush=True)
                time.sleep(PROBE_SECONDS)
        ended = time.monotonic() - started
    measured = {
        "backfills": backfills,
        "succeeded": backfills - left,
        "created_seconds": round(created, 1),
        "queued_seconds": round(queued, 1),
        "ended_seconds": round(ended, 1),
        "jobs_while_queued": begun,
        "most_pods_at_once": kubelet.most_pods,
        "answers": len(prober.answers),
        "answer_p50_seconds": round(median(prober.answers), 2),
        "answer_max_seconds": round(max(prober.answers), 2),
        "peak_mebibytes": round(peak_mebibytes(operator), 1),
        "cpu_seconds": round(cpu_seconds(operator), 1),
    }
    operator.stop()
    return measured


def create(server: Server, backfills: int) -> None:
    """Create all Backfills, a few at a time."""
    spec = {**BACKFILL["spec"], "parallelism": 1}  # type: ignore[dict-item]
    manifests = [
        {**BACKFILL, "metadata": {"name": f"history-{n:04}", "namespace": NAMESPACE}, "spec": spec}
        for n in range(backfills)
    ]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(server.create, manifests))


def reasons(server: Server) -> list[str]:
    """Return what each Backfill says of its run; empty where it says nothing yet."""
    found = server.list("Backfill", NAMESPACE)
    return [str(condition(each, "Running").get("reason", "")) for each in found]


def count_left(server: Server) -> int:
    """Return how many Backfills have not succeeded."""
    found = server.list("Backfill", NAMESPACE)
    return sum(condition(each, "Succeeded").get("status") != "True" for each in found)


def write_figures(measured: dict[str, Any]) -> None:
    """Write the figures."""
    left = measured["backfills"] - measured["succeeded"]
    figures = (
        ("backfills-not-ended", left, "Backfills", 0),
        ("backfills-answer-max-seconds", measured["answer_max_seconds"], "s", GOAL_ANSWER_SECONDS),
    )
    write_bounds(figures, "make bench ONLY=queue", measured)


if __name__ == "__main__":
    typer.run(main)
