"""What the process takes from its environment; the only place that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from feedplane_feeder.cluster import SERVICE_ACCOUNT_DIR

TERMINATION_LOG: Final = "/dev/termination-log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment of one feeder process."""

    pod_name: str
    """The pod's name, or `local` outside a cluster."""
    termination_log: Path
    """Where the kubelet looks for the reason of the end."""
    kubernetes_host: str
    """Empty outside a cluster."""
    kubernetes_port: str
    service_account: Path
    """Folder with this pod's token and the cluster's certificate."""
    completion_index: int = 0
    """Which worker of an Indexed Job this is."""


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment; what is absent has a default that suits a run by hand."""
    return Settings(
        pod_name=environ.get("POD_NAME", "local"),
        termination_log=Path(environ.get("FEEDPLANE_TERMINATION_LOG", TERMINATION_LOG)),
        kubernetes_host=environ.get("KUBERNETES_SERVICE_HOST", ""),
        kubernetes_port=environ.get("KUBERNETES_SERVICE_PORT", "443"),
        service_account=Path(environ.get("FEEDPLANE_SERVICE_ACCOUNT_DIR", SERVICE_ACCOUNT_DIR)),
        completion_index=int(environ.get("JOB_COMPLETION_INDEX", "0")),
    )
