"""A Lease as a Kubernetes object: read, merged into, replaced, and turned into a record.

Must not know when any of that is done, nor what holding a Lease means.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from feedplane_api.names import LEASE_CANDIDATE_PREFIX, LEASE_CHANGED_REASON, LEASE_SUCCESSOR
from feedplane_feeder.cluster import ClusterApi, Document
from feedplane_feeder.core.lease import CandidateLine, LeaseRecord, parse_line, render_line
from feedplane_feeder.core.ports import Clock
from feedplane_feeder.log import FieldLog

CONFLICT: Final = 409


@dataclass(frozen=True, kw_only=True)
class LeaseContext:
    """What whoever holds a Lease is given from outside."""

    api: ClusterApi
    clock: Clock
    log: FieldLog
    pod: str
    on_renewed: Callable[[float], object] = lambda _seconds: None
    """Told how long each renewal took."""
    on_unreachable: Callable[[float], object] = lambda _seconds: None
    """Told for how much longer the API server has not answered."""


class LeaseObject:
    """One Lease; what was read last guards what is written next."""

    def __init__(self, namespace: str, name: str, api: ClusterApi) -> None:
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
        self._api = api
        self._document: Document | None = None

    async def read(self) -> LeaseRecord:
        """Read it."""
        return self._keep(await self._api.get(self._path))

    async def announce(self, line: CandidateLine) -> LeaseRecord:
        """Merge a candidate's line into it, whoever wrote in between."""
        annotations = {LEASE_CANDIDATE_PREFIX + line.account: render_line(line)}
        body = {"metadata": {"annotations": annotations}}
        return self._keep(await self._api.merge(self._path, body))

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        """Replace it; refused with a conflict when somebody wrote since it was read."""
        document = render_lease(self._document or {}, record)
        return self._keep(await self._api.put(self._path, document))

    def _keep(self, document: Document) -> LeaseRecord:
        self._document = document
        return parse_lease(document)


def parse_lease(document: Document) -> LeaseRecord:
    """Read a Lease object; what it does not say is empty."""
    spec = document.get("spec") or {}
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    lines = [
        parse_line(key.removeprefix(LEASE_CANDIDATE_PREFIX), text)
        for key, text in sorted(annotations.items())
        if key.startswith(LEASE_CANDIDATE_PREFIX)
    ]
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        transitions=int(spec.get("leaseTransitions") or 0),
        duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
        acquire_time=spec.get("acquireTime"),
        renew_time=spec.get("renewTime"),
        reason=annotations.get(LEASE_CHANGED_REASON),
        successor=annotations.get(LEASE_SUCCESSOR) or "",
        candidates=tuple(line for line in lines if line is not None),
    )


def render_lease(document: Document, record: LeaseRecord) -> Document:
    """Return the Lease object with a record written in; everything else stays."""
    written = copy.deepcopy(document)
    metadata = written.setdefault("metadata", {})
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        LEASE_CHANGED_REASON: record.reason or "",
        LEASE_SUCCESSOR: record.successor,
        **{LEASE_CANDIDATE_PREFIX + line.account: render_line(line) for line in record.candidates},
    }
    metadata.pop("managedFields", None)
    written["spec"] = {
        **(written.get("spec") or {}),
        "holderIdentity": record.holder,
        "leaseDurationSeconds": max(1, int(record.duration_seconds)),
        "leaseTransitions": record.transitions,
        "acquireTime": record.acquire_time,
        "renewTime": record.renew_time,
    }
    return written


def render_time(now_ns: int) -> str:
    """Write a moment as Leases have it, to the microsecond."""
    return parse_ns(now_ns).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_ns(now_ns: int) -> datetime:
    """Return a moment from Unix nanoseconds."""
    return datetime.fromtimestamp(now_ns / 1e9, UTC)
