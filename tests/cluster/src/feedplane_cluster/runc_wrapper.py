"""runc for machines whose processes may not have CAP_SYS_RESOURCE.

There runc cannot give that capability to a container, nor raise limits, nor lower the OOM score:
it fails. This stands in front of it and takes the three wishes out of the container's
specification first. The engine runs a copy of this file, so it must import nothing of ours.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CAPABILITY = "CAP_SYS_RESOURCE"
RUNC = "/usr/sbin/runc"

# An OCI document has many shapes; this touches three fields of it.
Document = dict[str, Any]


def without_sys_resource(process: Document) -> Document:
    """Return an OCI process specification that can be granted without CAP_SYS_RESOURCE."""
    kept = {name: value for name, value in process.items() if name != "rlimits"}
    if "capabilities" in kept:
        kept["capabilities"] = {
            kind: [capability for capability in held or () if capability != CAPABILITY]
            for kind, held in (kept["capabilities"] or {}).items()
        }
    if (kept.get("oomScoreAdj") or 0) < 0:
        kept["oomScoreAdj"] = 0
    return kept


def without_sys_resource_in_bundle(specification: Document) -> Document:
    """Return the same for a whole container's specification."""
    return {**specification, "process": without_sys_resource(specification["process"])}


def option(arguments: list[str], *names: str) -> str | None:
    """Return the value of a command line option, in either spelling."""
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else arguments[index + 1]
    return None


def rewrite(path: Path, change: Callable[[Document], Document]) -> None:
    """Change a JSON file in one step; one that is not there needs no change."""
    if not path.is_file():
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(change(json.loads(path.read_text()))))
    fresh.replace(path)


def main(arguments: list[str]) -> None:
    """Rewrite what runc is about to read, and become runc."""
    if bundle := option(arguments, "--bundle", "-b"):
        rewrite(Path(bundle) / "config.json", without_sys_resource_in_bundle)
    if process := option(arguments, "--process", "-p"):
        rewrite(Path(process), without_sys_resource)
    os.execv(RUNC, ["runc", *arguments])  # noqa: S606 - becoming runc is the point


if __name__ == "__main__":
    main(sys.argv[1:])
