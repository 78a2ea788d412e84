"""The demo: a cluster, the chart, two feeds, rows arriving, and a tape that stays complete.

Shows what happens while it happens, and may be run again: what is there already is kept.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feedplane_cluster.cache import default_cache
from feedplane_cluster.demo_history import HistoryActs
from feedplane_cluster.demo_inputs import (
    DEMO,
    NAMESPACE,
    PART_OF,
    RECORDINGS_FOLDER,
    DemoOptions,
    Manifest,
    chart_settings,
    demo_manifests,
    recordings_volume,
)
from feedplane_cluster.demo_kill import KillAct
from feedplane_cluster.demo_views import (
    DATABASE_POD,
    NEWEST_ROWS,
    ROW_COUNTS,
    further,
    pods_table,
    readiness,
)
from feedplane_cluster.errors import ClusterError, CommandError, NotReadyError
from feedplane_cluster.local_cluster import down, up, use_context
from feedplane_cluster.process import run
from feedplane_cluster.product_images import find_workspace
from feedplane_cluster.progress import note, step
from feedplane_cluster.toolchain import Toolchain

CLUSTER = "feedplane-demo"
RELEASE = "feedplane"
READY_SECONDS = 120
FIRST_ROW_SECONDS = 120

# What the demo has to show goes to standard output; its progress does not.
screen = Console(highlight=False, soft_wrap=True)


@dataclass(slots=True, kw_only=True)
class DemoMeasures:
    """What the demo took."""

    seconds: float = 0.0
    apply_to_first_row_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Kubernetes as a person would use it, so that the demo shows nothing they cannot do."""

    program: Path
    kubeconfig: Path

    def __call__(
        self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60
    ) -> str:
        """Run kubectl in the demo's namespace."""
        command = (self.program, "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE)
        return run(*command, *arguments, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, manifests: Sequence[Manifest]) -> str:
        """Apply manifests as the person at the keyboard."""
        return self("apply", "--filename", "-", stdin=yaml.safe_dump_all(manifests))

    def items(self, kind: str) -> list[Manifest]:
        """List the objects of a kind."""
        found: list[Manifest] = json.loads(self("get", kind, "--output", "json"))["items"]
        return found

    def query(self, sql: str, *options: str) -> str:
        """Ask the demo's database."""
        psql = ("psql", "--username", "feedplane", "--no-psqlrc", *options, "--command", sql)
        return self("exec", DATABASE_POD, "--container", "database", "--", *psql)


class Demo:
    """One run of the demo against a cluster that is up."""

    def __init__(
        self,
        options: DemoOptions,
        *,
        kubectl: Kubectl,
        programs: Path,
        images: Mapping[str, str],
        nodes: Sequence[str],
        folder: Path,
    ) -> None:
        self._options = options
        self._folder = folder
        self._kubectl = kubectl
        self._programs = programs
        self._images = images
        self._nodes = nodes

    def withdraw(self) -> None:
        """Remove the feeds and wait until no feeder runs; everything else stays."""
        self._kubectl(
            *("delete", "feedsources,subscriptions", "--all", "--cascade=foreground"),
            timeout_seconds=120,
        )

    def run(self) -> DemoMeasures:
        """Install, apply, wait and show.

        Raises: ClusterError where a step does not come to its end.
        """
        measures = DemoMeasures()
        started = time.monotonic()
        self._install()
        measures.apply_to_first_row_seconds = self._feed()
        self._wait_ready()
        self._show()
        if not self._options.live and not self._options.recordings:
            KillAct(self._kubectl, self._nodes, show).play()
            HistoryActs(self._kubectl, self._folder, show).play()
        show("To look further", further(self._programs, self._kubectl.kubeconfig))
        measures.seconds = time.monotonic() - started
        return measures

    def _install(self) -> None:
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
        self._kubectl.apply([namespace])
        if self._options.recordings:
            self._offer_recordings(self._options.recordings)
        settings = chart_settings(self._options, self._images)
        with step("Installing the chart: operator, simulated venue, TimescaleDB"):
            run(
                *(
                    self._programs / "helm",
                    "--kubeconfig",
                    self._kubectl.kubeconfig,
                    "--namespace",
                    NAMESPACE,
                ),
                *("upgrade", "--install", RELEASE, self._options.root / "charts/feedplane"),
                *("--wait", "--timeout", "5m", "--set", ",".join(settings)),
                timeout_seconds=330,
            )

    def _offer_recordings(self, folder: Path) -> None:
        if not self._nodes:
            raise ClusterError(
                "Recordings are copied into kind's nodes; this cluster is not kind's"
            )
        with step(f"Copying the recordings of {folder} into the cluster"):
            for node in self._nodes:
                run("docker", "exec", node, "mkdir", "-p", RECORDINGS_FOLDER)
                run("docker", "cp", f"{folder}/.", f"{node}:{RECORDINGS_FOLDER}")
                run("docker", "exec", node, "chmod", "-R", "a+rX", RECORDINGS_FOLDER)
            self._kubectl.apply(recordings_volume())

    def _feed(self) -> float:
        with step("Applying two FeedSources and two Subscriptions"):
            applied = datetime.now(UTC)
            clock = time.monotonic()
            manifests = demo_manifests(self._options)
            answer = self._kubectl.apply(manifests)
            self._withdraw_others(manifests)
        for line in answer.splitlines():
            note(line)
        with step("Waiting for the first row in the database"):
            self._wait_row(applied)
        return time.monotonic() - clock

    def _withdraw_others(self, manifests: Sequence[Manifest]) -> None:
        """Remove what an earlier run with other options wanted."""
        wanted = {manifest["metadata"]["name"] for manifest in manifests}
        listed = self._kubectl("get", "subscriptions", f"-l{PART_OF}={DEMO}", "-o", "name")
        for name in listed.split():
            if name.rpartition("/")[2] not in wanted:
                self._kubectl("delete", name)

    def _wait_row(self, since: datetime) -> None:
        newer = f"ts_recv >= '{since.isoformat()}'"
        sql = f"select 1 from feedplane.trades where {newer} limit 1"  # noqa: S608 - our own clock
        deadline = time.monotonic() + FIRST_ROW_SECONDS
        while time.monotonic() < deadline:
            try:
                if self._kubectl.query(sql, "--tuples-only", "--no-align").strip():
                    return
            except CommandError:
                pass  # The first feeder to connect makes the tables.
            time.sleep(0.3)
        raise NotReadyError("a first row", FIRST_ROW_SECONDS, self._kubectl("get", "pods,fs,sub"))

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        told: dict[str, str] = {}
        with step("Waiting for every FeedSource and Subscription to be Ready"):
            while True:
                states = {
                    f"{item['kind']} {item['metadata']['name']}": readiness(item)
                    for item in self._kubectl.items("feedsources,subscriptions")
                }
                for name, state in states.items():
                    if told.get(name) != state:
                        note(f"{name}: {state}")
                told = states
                if states and all(state.startswith("ready") for state in states.values()):
                    return
                if time.monotonic() > deadline:
                    detail = self._kubectl("get", "pods,fs,sub", "--output", "wide")
                    raise NotReadyError("ready feeds", READY_SECONDS, detail)
                time.sleep(1)

    def _show(self) -> None:
        for kind in ("feedsources", "subscriptions"):
            show(f"kubectl get {kind}", self._kubectl("get", kind))
        show("What runs", pods_table(self._kubectl.items("pods")))
        show("Rows so far", self._kubectl.query(ROW_COUNTS))
        show("The last trades in the database", self._kubectl.query(NEWEST_ROWS))


def show(heading: str, content: str | Table) -> None:
    """Print something under a heading."""
    screen.print(f"\n[bold]{heading}[/]")
    # Text of programs is no markup: its brackets are brackets.
    screen.print(content if isinstance(content, Table) else Text(content.rstrip()))


def run_demo(
    options: DemoOptions, *, context: str | None = None, afresh: bool = False
) -> DemoMeasures:
    """Bring the cluster up and run the demo in it; afresh withdraws the feeds of a run before."""
    cache = default_cache()
    programs = Toolchain(cache).bin_folder()
    started = time.monotonic()
    cluster = up(cache, name=CLUSTER, context=context)
    demo = Demo(
        options,
        kubectl=Kubectl(programs / "kubectl", cluster.kubeconfig),
        programs=programs,
        images=cluster.images,
        nodes=cluster.nodes,
        folder=cache.folder("demo"),
    )
    if afresh:
        demo.withdraw()
    measures = demo.run()
    measures.seconds = time.monotonic() - started
    note(f"first row {measures.apply_to_first_row_seconds:.1f} s after `kubectl apply`")
    note(f"the whole demo took {measures.seconds:.0f} s")
    return measures


def undo_demo(*, context: str | None = None) -> None:
    """Remove what the demo made: its cluster, or its part of a cluster that is not ours."""
    cache = default_cache()
    if context is None:
        down(cache, name=CLUSTER)
        return
    programs = Toolchain(cache).bin_folder()
    kubectl = Kubectl(programs / "kubectl", use_context(cache, context).kubeconfig)
    with step(f"Removing namespace {NAMESPACE} and release {RELEASE} from {context}"):
        run(
            *(programs / "helm", "--kubeconfig", kubectl.kubeconfig, "--namespace", NAMESPACE),
            *("uninstall", RELEASE, "--ignore-not-found", "--wait"),
        )
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout_seconds=120)
    note("the three resource definitions stay: deleting one deletes everybody's resources")


Context = Annotated[
    str | None,
    typer.Option(envvar="FEEDPLANE_CONTEXT", help="A context of your kubeconfig, not kind."),
]


def register(app: typer.Typer) -> None:
    """Add the demo's commands to the command line."""

    @app.command()
    def demo(
        *,
        live: Annotated[
            bool, typer.Option(envvar="LIVE", help="Feeds go to the real venue.")
        ] = False,
        recordings: Annotated[
            Path | None,
            typer.Option(
                envvar="RECORDINGS",
                help="Folder of recorded frames to replay.",
                exists=True,
                file_okay=False,
                resolve_path=True,
            ),
        ] = None,
        context: Context = None,
    ) -> None:
        """Show two feeds from `kubectl apply` to rows in a database, and what keeps them complete.

        With --live or --recordings it ends with the rows: the kill, the Backfill, the dropped
        frames and the report need the made-up venue.
        """
        if live and recordings:
            raise typer.BadParameter("LIVE and RECORDINGS exclude each other")
        root = find_workspace(Path.cwd())
        run_demo(DemoOptions(root=root, live=live, recordings=recordings), context=context)

    @app.command()
    def clean_demo(*, context: Context = None) -> None:
        """Undo the demo."""
        undo_demo(context=context)
