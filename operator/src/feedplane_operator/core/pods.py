"""A feeder's Pod: what of it matters, and what is wrong with it, if anything.

Must not know what follows from it for the FeedSource.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feedplane_api.conditions import Reason
from feedplane_api.names import ANNOTATION_TEMPLATE_HASH, ExitCode
from feedplane_operator.core.plan import Manifest, made_at

FEEDER_CONTAINER = "feeder"
UNKNOWN_VENUE_PREFIX = "UnknownVenue:"
_MESSAGE_LIMIT = 512
_IMAGE_TROUBLES = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One Pod of a feeder."""

    name: str
    address: str = ""
    phase: str = "Pending"
    ready: bool = False
    deleting: bool = False
    created: datetime | None = None
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    """Of the container's last end, if it ended."""
    exit_message: str = ""
    restarts: int = 0
    unscheduled: str = ""
    """Why no node takes it."""
    mount_failure: str = ""
    """Why a volume cannot be mounted, by the cluster's own events."""
    template_hash: str = ""
    """Hash of the template it was made from."""

    @property
    def url_host(self) -> str:
        """Its address as a URL has it."""
        return f"[{self.address}]" if ":" in self.address else self.address


def parse_pod(pod: Manifest, mount_failure: str = "") -> PodView:
    """Return the view of a Pod."""
    metadata, status = pod["metadata"], pod.get("status", {})
    container = _container_status(status)
    state = container.get("state", {})
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    waiting = state.get("waiting", {})
    return PodView(
        name=metadata["name"],
        address=status.get("podIP", ""),
        phase=status.get("phase", "Pending"),
        ready=_has_condition(status, "Ready", "True") is not None,
        deleting="deletionTimestamp" in metadata,
        created=made_at(pod),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", "")[:_MESSAGE_LIMIT],
        exit_code=ended.get("exitCode"),
        exit_message=ended.get("message", "").strip()[:_MESSAGE_LIMIT],
        restarts=container.get("restartCount", 0),
        unscheduled=(_has_condition(status, "PodScheduled", "False") or {}).get("message", ""),
        mount_failure=mount_failure[:_MESSAGE_LIMIT],
        template_hash=metadata.get("annotations", {}).get(ANNOTATION_TEMPLATE_HASH, ""),
    )


def judge_pod(pod: PodView) -> tuple[Reason, str] | None:
    """Return why a Pod cannot do its work, or None where it runs or is on its way."""
    if pod.ready:
        return None
    return _judge_end(pod) or _judge_start(pod)


def _judge_end(pod: PodView) -> tuple[Reason, str] | None:
    if pod.exit_code == ExitCode.CONFIG_INVALID:
        if pod.exit_message.startswith(UNKNOWN_VENUE_PREFIX):
            return Reason.UNKNOWN_VENUE, pod.exit_message
        return Reason.FEEDER_FAILING, _said(pod, "refuses its configuration")
    if pod.exit_code == ExitCode.SINK_REFUSED:
        return Reason.FEEDER_FAILING, _said(pod, "cannot use a sink")
    if pod.waiting_reason == "CrashLoopBackOff" or (pod.exit_code and pod.restarts > 1):
        return Reason.FEEDER_FAILING, _said(pod, f"ended {pod.restarts} times")
    return None


def _judge_start(pod: PodView) -> tuple[Reason, str] | None:
    if pod.waiting_reason == "CreateContainerConfigError":
        return _missing_or_stuck(pod, pod.waiting_message)
    if pod.mount_failure:
        return _missing_or_stuck(pod, pod.mount_failure)
    if pod.waiting_reason in _IMAGE_TROUBLES or pod.unscheduled:
        why = pod.unscheduled or f"{pod.waiting_reason}: {pod.waiting_message}"
        return Reason.FEEDER_NOT_RUNNING, f"Pod {pod.name} does not start: {why}"
    return None


def _missing_or_stuck(pod: PodView, why: str) -> tuple[Reason, str]:
    reason = Reason.SECRET_NOT_FOUND if "secret" in why else Reason.FEEDER_NOT_RUNNING
    return reason, f"Pod {pod.name}: {why}"


def _said(pod: PodView, what: str) -> str:
    why = f": {pod.exit_message}" if pod.exit_message else ""
    return f"Pod {pod.name} {what}, exit code {pod.exit_code}{why}"


def _container_status(status: Manifest) -> dict[str, Any]:
    statuses: list[dict[str, Any]] = status.get("containerStatuses") or []
    return next((entry for entry in statuses if entry.get("name") == FEEDER_CONTAINER), {})


def _has_condition(status: Manifest, kind: str, value: str) -> dict[str, Any] | None:
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    return next(
        (entry for entry in conditions if entry["type"] == kind and entry["status"] == value), None
    )
