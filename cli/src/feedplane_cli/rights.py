"""What a person needs to be allowed for each command, rule by rule with its reason.

examples/rbac-feedplane-cli.yaml is written from this, and the integration tests run with
exactly this and with each rule missing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from feedplane_api.names import GROUP


class Role(StrEnum):
    """The Roles of the example."""

    VIEWER = "feedplane-cli-viewer"
    """In a namespace of feeds: look, and collect a support bundle."""
    STEERER = "feedplane-cli-steerer"
    """In a namespace of feeds, beside the viewer's: switch over, pause, resume, maintain."""
    RELEASE = "feedplane-cli-release"
    """In the operator's namespace: its version, and its part of a support bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One rule of a Role."""

    role: Role
    group: str
    resource: str
    verb: str
    commands: tuple[str, ...]
    reason: str


_SEES: Final = ("status", "switchover", "maintenance", "report")


def _look(
    resource: str, verb: str, commands: tuple[str, ...], reason: str, group: str = ""
) -> Right:
    return Right(
        role=Role.VIEWER,
        group=group,
        resource=resource,
        verb=verb,
        commands=commands,
        reason=reason,
    )


RIGHTS: Final = (
    _look(
        "feedsources",
        "get",
        (
            "status NAME",
            "switchover",
            "maintenance",
            "logs",
            "report NAME",
            "report quality NAME",
            "check subscriptions",
        ),
        "The FeedSource that is named.",
        GROUP,
    ),
    _look(
        "subscriptions",
        "get",
        ("report quality NAME", "check subscriptions NAME"),
        "The should-list that is held against tape or feeders.",
        GROUP,
    ),
    _look("feedsources", "list", ("status", "report"), "All of them.", GROUP),
    _look(
        "subscriptions",
        "list",
        (*_SEES, "check subscriptions"),
        "What is wanted, live and missing; gaps.",
        GROUP,
    ),
    _look("backfills", "list", ("report",), "What is being filled.", GROUP),
    _look(
        "leases",
        "list",
        _SEES,
        "Who publishes, and since when it was renewed.",
        "coordination.k8s.io",
    ),
    _look(
        "pods", "list", ("logs", "report", "version", "check subscriptions"), "Which feeders run."
    ),
    _look("pods/log", "get", ("logs", "report"), "What feeders say."),
    _look(
        "pods/proxy",
        "get",
        ("report", "check subscriptions"),
        "A feeder's /status and /metrics, through the API server. A port-forward would need to"
        " create, and reaches every port.",
    ),
    _look(
        "configmaps",
        "list",
        ("report", "report quality NAME", "check subscriptions"),
        "What feeders were told, globs resolved; it holds no credentials.",
    ),
    _look("services", "list", ("report",), "Children, as they are."),
    _look("deployments", "list", ("report",), "Children, as they are.", "apps"),
    _look("poddisruptionbudgets", "list", ("report",), "Children, as they are.", "policy"),
    _look("networkpolicies", "list", ("report",), "Children, as they are.", "networking.k8s.io"),
    _look("events", "list", ("report",), "What happened.", "events.k8s.io"),
    Right(
        role=Role.STEERER,
        group=GROUP,
        resource="feedsources",
        verb="patch",
        commands=("switchover", "pause", "resume", "maintenance"),
        reason="To write the choice into the spec.",
    ),
    Right(
        role=Role.STEERER,
        group=GROUP,
        resource="backfills",
        verb="patch",
        commands=("pause backfill/NAME", "resume backfill/NAME"),
        reason="To write the state into the spec.",
    ),
    Right(
        role=Role.RELEASE,
        group="",
        resource="pods",
        verb="list",
        commands=("version", "report"),
        reason="The operator's version.",
    ),
    Right(
        role=Role.RELEASE,
        group="",
        resource="pods/log",
        verb="get",
        commands=("report",),
        reason="What the operator says.",
    ),
    Right(
        role=Role.RELEASE,
        group="coordination.k8s.io",
        resource="leases",
        verb="list",
        commands=("report",),
        reason="Which replica of the operator leads.",
    ),
)


def rules_of(role: Role, rights: tuple[Right, ...] = RIGHTS) -> list[dict[str, Any]]:
    """Return the rules of one Role, one per resource."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        if right.role is role:
            verbs.setdefault((right.group, right.resource), []).append(right.verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": found}
        for (group, resource), found in verbs.items()
    ]
