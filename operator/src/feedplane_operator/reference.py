"""Writes docs/reference/{rbac,operator}.md from the code: `python -m feedplane_operator.reference`.

With --write the files are written, with --check those that are not up to date are named.
"""

import ast
import dataclasses
import inspect
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from feedplane_operator import metrics
from feedplane_operator.events import EventReason, LogEvent
from feedplane_operator.rights import ELECTION_RIGHTS, RIGHTS, Right
from feedplane_operator.settings import Settings

FOLDER: Final = Path("docs/reference")


def render_rbac() -> str:
    """Render the page on the operator's rights."""
    return "\n".join(
        [
            "# What the operator may do",
            "",
            "Written from `feedplane_operator.rights`; the chart grants this and no more. There is"
            " no wildcard, no right on Secrets, nodes, namespaces or CustomResourceDefinitions,"
            " no `pods/exec` and no finalizer. With `watch.namespaces` set, the first table is a"
            " Role in each of those namespaces and there is no ClusterRole.",
            "",
            "## In every namespace that is watched",
            "",
            *_table(RIGHTS),
            "",
            "## In the operator's own namespace",
            "",
            *_table(ELECTION_RIGHTS),
            "",
        ]
    )


def render_operator() -> str:
    """Render the page on the operator's settings, events, log lines and metrics."""
    reasons = [f"| `{reason.value}` | {reason.sentence} |" for reason in EventReason]
    return "\n".join(
        [
            "# The operator's settings, events, log lines and metrics",
            "",
            "## Environment variables",
            "",
            "| Variable | Default | Meaning |",
            "| --- | --- | --- |",
            *_setting_rows(),
            "",
            "## Kubernetes events",
            "",
            "| Reason | Meaning |",
            "| --- | --- |",
            *reasons,
            "",
            "## Log lines",
            "",
            "The `msg` of every line; what it concerns stands in the line's other fields.",
            "",
            *(f"- `{event.value}`" for event in LogEvent),
            "",
            "## Metrics",
            "",
            "| Name | Type | Labels | Meaning |",
            "| --- | --- | --- | --- |",
            *_metric_rows(),
            "",
        ]
    )


PAGES: Final = {"rbac.md": render_rbac, "operator.md": render_operator}


def main(arguments: list[str]) -> int:
    """Write the pages, or name those that are stale; the result is the exit code."""
    stale = [
        name
        for name, render in PAGES.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != render()
    ]
    if arguments == ["--write"]:
        for name in stale:
            (FOLDER / name).write_text(PAGES[name]())
        return 0
    if arguments != ["--check"]:
        sys.stderr.write("Expected --write or --check\n")
        return 64
    for name in stale:
        sys.stderr.write(f"{FOLDER / name} is stale\n")
    return 1 if stale else 0


def _table(rights: Iterable[Right]) -> list[str]:
    rows = [
        f"| `{right.group or 'core'}` | {', '.join(right.resources)}"
        f" | {', '.join(right.verbs)} | {right.reason} |"
        for right in rights
    ]
    return ["| API group | Resources | Verbs | Why |", "| --- | --- | --- | --- |", *rows]


def _setting_rows() -> list[str]:
    # The text under a field is read from the source: a dataclass does not keep it.
    (settings,) = ast.parse(inspect.getsource(Settings)).body
    statements = settings.body if isinstance(settings, ast.ClassDef) else []
    said = {
        ast.unparse(field.target): ast.literal_eval(text.value)
        for field, text in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    rows = []
    for setting in dataclasses.fields(Settings):
        variable, _, meaning = said[setting.name].partition(": ")
        rows.append(f"| `{variable}` | {_show_default(setting.default)} | {meaning} |")
    return rows


def _show_default(value: object) -> str:
    if value is dataclasses.MISSING:
        return "required"
    if isinstance(value, bool):
        return "`Enabled`" if value else "`Disabled`"
    return f"`{value}`" if value else "empty"


def _metric_rows() -> list[str]:
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    rows = []
    for metric in found:
        described = next(iter(metric.describe()))
        name = f"{described.name}_total" if described.type == "counter" else described.name
        # prometheus_client has no public way to ask for the names of labels.
        labels = ", ".join(metric._labelnames) or "-"
        rows.append(f"| `{name}` | {described.type} | {labels} | {described.documentation} |")
    return sorted(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
