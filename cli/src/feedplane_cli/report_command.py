"""`feedplane report`: a support bundle that can be sent to somebody."""

from pathlib import Path

from feedplane_cli.archive import check_path, write_archive
from feedplane_cli.clock import utc_now
from feedplane_cli.cluster import connect
from feedplane_cli.collecting import Collector, ReportChoice
from feedplane_cli.core.bundle import root_name
from feedplane_cli.errors import ExitStatus
from feedplane_cli.place import Place
from feedplane_cli.release import own_version
from feedplane_cli.terminal import make_console, say, warn


async def write_report(place: Place, choice: ReportChoice, path: Path | None) -> ExitStatus:
    """Collect a bundle, write it, and say what it lacks."""
    now = utc_now()
    root = root_name(choice.name, now)
    path = path or Path(f"{root}.tar.gz")
    check_path(path)
    async with connect(place) as cluster:
        with make_console(stderr=True).status("Collecting"):
            bundle = await Collector(cluster, choice, now).collect()
        about = {
            "client": own_version(),
            "namespace": cluster.namespace,
            "feedSource": choice.name or None,
            "operatorNamespace": choice.operator_namespace,
        }
    files = {**bundle.files, "manifest.json": bundle.build_manifest(about, now)}
    size = write_archive(path, root, files, now)
    for missing in bundle.missing:
        warn(f"left out: {missing.what}: {missing.why}")
    say(f"{path}: {len(files)} files, {size:,} bytes. No Secret is in it; look through it first.")
    return ExitStatus.HEALTHY
