"""A Backfill's Job and Pods: what of them matters.

Must not know what follows from it for the Backfill.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from feedplane_api.backfill_worker import BackfillReport, parse_termination
from feedplane_api.names import LABEL_RUN
from feedplane_operator.core.plan import Manifest, Ref, made_at, read_time
from feedplane_operator.core.pods import FEEDER_CONTAINER, PodView, parse_pod

INDEX_ANNOTATION: Final = "batch.kubernetes.io/job-completion-index"
JOB_LABEL: Final = "batch.kubernetes.io/job-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPod:
    """One Pod of a run."""

    view: PodView
    job: str
    index: int
    """Which worker of the run it is."""
    last_words: BackfillReport | None = None
    """Its termination message, where that is a report."""

    @property
    def name(self) -> str:
        """Name of the Pod."""
        return self.view.name

    @property
    def running(self) -> bool:
        """Whether it works."""
        return self.view.phase == "Running" and not self.view.deleting

    @property
    def ended(self) -> bool:
        """Whether it will not say anything any more."""
        return self.view.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One run's Job."""

    name: str
    run: str
    workers: int
    parallelism: int
    suspended: bool
    deleting: bool
    created: datetime | None
    succeeded: int
    """Workers that ended well."""
    complete: bool
    failed: str | None
    """Why the Job gave up; None where it did not."""
    finish_time: datetime | None

    @property
    def finished(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return self.complete or self.failed is not None

    @property
    def working(self) -> bool:
        """Whether it has Pods, or is about to."""
        return not self.finished and not self.suspended


def parse_backfill_pod(pod: Manifest) -> BackfillPod:
    """Return the view of a worker's Pod."""
    metadata = pod["metadata"]
    index = str(metadata.get("annotations", {}).get(INDEX_ANNOTATION, "0"))
    return BackfillPod(
        view=parse_pod(pod),
        job=metadata.get("labels", {}).get(JOB_LABEL, ""),
        index=int(index) if index.isdecimal() else 0,
        last_words=parse_termination(_last_message(pod)),
    )


def parse_job(job: Manifest) -> JobView:
    """Return the view of a Job."""
    metadata, spec, status = job["metadata"], job.get("spec", {}), job.get("status", {})
    ends = {entry["type"]: entry for entry in status.get("conditions") or () if _holds(entry)}
    failed, complete = ends.get("Failed"), ends.get("Complete")
    end = complete or failed or {}
    return JobView(
        name=metadata["name"],
        run=metadata.get("labels", {}).get(LABEL_RUN, ""),
        workers=spec.get("completions", 1),
        parallelism=spec.get("parallelism", 1),
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in metadata,
        created=made_at(job),
        succeeded=status.get("succeeded", 0),
        complete=complete is not None,
        failed=None if failed is None else failed.get("message") or failed.get("reason", ""),
        finish_time=read_time(status.get("completionTime") or end.get("lastTransitionTime")),
    )


def parse_jobs(children: Mapping[Ref, Manifest]) -> tuple[JobView, ...]:
    """Return the Jobs among the children, the newest run first."""
    jobs: Iterable[JobView] = (
        parse_job(child) for ref, child in children.items() if ref.kind == "Job"
    )
    return tuple(sorted(jobs, key=_age, reverse=True))


def _age(job: JobView) -> tuple[str, str]:
    return job.created.isoformat() if job.created else "", job.name


def _last_message(pod: Manifest) -> str:
    statuses: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses") or []
    container = next((entry for entry in statuses if entry.get("name") == FEEDER_CONTAINER), {})
    ended = container.get("state", {}).get("terminated") or {}
    return str(ended.get("message", ""))


def _holds(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == "True"
