"""The environment, read once at start into a frozen value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from feedplane_api.worker import LogFormat
from feedplane_operator.core.observed import Defaults
from feedplane_operator.errors import SettingsError

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_SWITCH = ("Enabled", "Disabled")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PORTS: Final = range(65_536)
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this operator runs; one environment variable per field, named beside it."""

    pod_name: str
    """POD_NAME: identity in the leader election."""
    pod_namespace: str
    """POD_NAMESPACE: where the election's Lease lives."""
    namespaces: tuple[str, ...] = ()
    """FEEDPLANE_NAMESPACES: separated by commas; empty watches the whole cluster."""
    feeder_image: str
    """FEEDPLANE_FEEDER_IMAGE: image of feeders that name none themselves."""
    feeder_image_pull_policy: str = "IfNotPresent"
    """FEEDPLANE_FEEDER_IMAGE_PULL_POLICY: Always, IfNotPresent or Never."""
    log_format: LogFormat = LogFormat.JSON
    """FEEDPLANE_LOG_FORMAT: Json or Plain."""
    log_level: str = "INFO"
    """FEEDPLANE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""
    leader_election: bool = True
    """FEEDPLANE_LEADER_ELECTION: Enabled or Disabled."""
    lease_name: str = "feedplane-operator"
    """FEEDPLANE_LEASE_NAME: the Lease of the leader election."""
    http_port: int = 8080
    """FEEDPLANE_HTTP_PORT: /healthz, /readyz and /metrics; 0 picks a free one."""
    poll_seconds: int = 5
    """FEEDPLANE_POLL_SECONDS: time between two looks at feeders and Leases."""
    network_policy: bool = True
    """FEEDPLANE_NETWORK_POLICY: Enabled or Disabled."""
    egress_ports: tuple[int, ...] = ()
    """FEEDPLANE_EGRESS_PORTS: separated by commas, TCP ports that feeders may reach besides."""
    rollout_feeders: int = 10
    """FEEDPLANE_ROLLOUT_FEEDERS: feeders that may be replaced at once, over all FeedSources."""
    rollout_deadline_seconds: int = 180
    """FEEDPLANE_ROLLOUT_DEADLINE_SECONDS: when one that is not healthy holds others back."""
    backfill_workers: int = 16
    """FEEDPLANE_BACKFILL_WORKERS: workers of all Backfills that may run at once; others wait."""
    feeder_url_template: str = ""
    """FEEDPLANE_FEEDER_URL_TEMPLATE: with {service} and {namespace}; empty asks Pods by address."""

    @property
    def defaults(self) -> Defaults:
        """What of this concerns every feeder."""
        return Defaults(
            image=self.feeder_image,
            image_pull_policy=self.feeder_image_pull_policy,
            operator_namespace=self.pod_namespace,
            network_policy=self.network_policy,
            egress_ports=self.egress_ports,
            rollout_deadline_seconds=self.rollout_deadline_seconds,
        )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: a variable is missing or cannot be used.
    """
    get = environment.get
    return Settings(
        pod_name=_required(environment, "POD_NAME", "the name of the operator's Pod"),
        pod_namespace=_required(environment, "POD_NAMESPACE", "the namespace of its Pod"),
        namespaces=_namespaces(get("FEEDPLANE_NAMESPACES", "")),
        feeder_image=_required(environment, "FEEDPLANE_FEEDER_IMAGE", "an image reference"),
        feeder_image_pull_policy=_one_of(
            environment, "FEEDPLANE_FEEDER_IMAGE_PULL_POLICY", _PULL_POLICIES, "IfNotPresent"
        ),
        log_format=LogFormat(
            _one_of(environment, "FEEDPLANE_LOG_FORMAT", tuple(LogFormat), LogFormat.JSON)
        ),
        log_level=_one_of(environment, "FEEDPLANE_LOG_LEVEL", _LEVELS, "INFO"),
        leader_election=_switch(environment, "FEEDPLANE_LEADER_ELECTION"),
        lease_name=get("FEEDPLANE_LEASE_NAME") or "feedplane-operator",
        http_port=_number(environment, "FEEDPLANE_HTTP_PORT", 8080, _PORTS),
        poll_seconds=_number(environment, "FEEDPLANE_POLL_SECONDS", 5, range(1, 61)),
        network_policy=_switch(environment, "FEEDPLANE_NETWORK_POLICY"),
        egress_ports=_ports(get("FEEDPLANE_EGRESS_PORTS", "")),
        rollout_feeders=_number(environment, "FEEDPLANE_ROLLOUT_FEEDERS", 10, range(1, 1001)),
        rollout_deadline_seconds=_number(
            environment, "FEEDPLANE_ROLLOUT_DEADLINE_SECONDS", 180, range(1, 3601)
        ),
        backfill_workers=_number(environment, "FEEDPLANE_BACKFILL_WORKERS", 16, range(1, 10_001)),
        feeder_url_template=get("FEEDPLANE_FEEDER_URL_TEMPLATE", ""),
    )


def _required(environment: Mapping[str, str], variable: str, expected: str) -> str:
    value = environment.get(variable, "").strip()
    if not value:
        raise SettingsError(variable, expected, value)
    return value


def _one_of(
    environment: Mapping[str, str], variable: str, choices: tuple[str, ...], default: str
) -> str:
    value = environment.get(variable) or default
    if value not in choices:
        raise SettingsError(variable, f"one of {', '.join(choices)}", value)
    return value


def _switch(environment: Mapping[str, str], variable: str) -> bool:
    return _one_of(environment, variable, _SWITCH, "Enabled") == "Enabled"


def _number(environment: Mapping[str, str], variable: str, default: int, allowed: range) -> int:
    value = environment.get(variable) or str(default)
    if not value.isdecimal() or int(value) not in allowed:
        raise SettingsError(variable, f"a number from {allowed.start} to {allowed.stop - 1}", value)
    return int(value)


def _ports(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal() or not 0 < int(part) < _PORTS.stop:
            raise SettingsError("FEEDPLANE_EGRESS_PORTS", "ports separated by commas", text)
    return tuple(sorted({int(part) for part in parts}))


def _namespaces(text: str) -> tuple[str, ...]:
    names = sorted({part.strip() for part in text.split(",") if part.strip()})
    for name in names:
        if _NAMESPACE.fullmatch(name) is None:
            raise SettingsError("FEEDPLANE_NAMESPACES", "namespaces separated by commas", text)
    return tuple(names)
