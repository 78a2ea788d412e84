"""`feedplane version`: of the command, the API server, the operator and the feeders."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from feedplane_cli.cluster import Cluster, connect
from feedplane_cli.core.bundle import images
from feedplane_cli.core.selectors import OPERATOR_SELECTOR, feeder_selector
from feedplane_cli.errors import CliError, ExitStatus
from feedplane_cli.place import Place
from feedplane_cli.release import own_version
from feedplane_cli.terminal import complain, draw, write_plain


async def show_versions(place: Place, operator_namespace: str, *, as_json: bool) -> ExitStatus:
    """Show what is known; what cannot be had is said and left out."""
    found: dict[str, Any] = {"client": own_version()}
    status = ExitStatus.HEALTHY
    try:
        async with connect(place) as cluster:
            found |= await _ask(cluster, operator_namespace)
    except CliError as error:
        complain(error.message, error.advice)
        status = error.status
    if as_json:
        write_plain(json.dumps(found, indent=2))
    else:
        draw(_tabulate(found))
    return status


async def _ask(cluster: Cluster, operator_namespace: str) -> dict[str, Any]:
    server = await cluster.version()
    operator, feeders = await asyncio.gather(
        cluster.list("Pod", operator_namespace, labels=OPERATOR_SELECTOR),
        cluster.list("Pod", cluster.namespace, labels=feeder_selector()),
        return_exceptions=True,
    )
    found: dict[str, Any] = {"kubernetes": server.get("gitVersion", "")}
    for name, pods in (("operator", operator), ("feeders", feeders)):
        if isinstance(pods, CliError):
            complain(f"{name}: {pods.message}", pods.advice)
        elif isinstance(pods, BaseException):
            raise pods
        else:
            found[name] = images(pods)
    return found


def _tabulate(found: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name, value in found.items():
        if isinstance(value, str):
            table.add_row(name, value)
            continue
        for image, count in value.items() or [("none", 0)]:
            table.add_row(name, f"{image} ({count} Pods)" if count else image)
    return table
