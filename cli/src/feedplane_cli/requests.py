"""What is asked of the API server: the kinds, their paths, and the right each request needs."""

from dataclasses import dataclass
from typing import Final

from feedplane_api.names import API_VERSION, PLURALS, Kind

PATHS: Final[dict[str, tuple[str, str]]] = {
    **{kind.value: (API_VERSION, plural) for kind, plural in PLURALS.items()},
    "ConfigMap": ("v1", "configmaps"),
    "Deployment": ("apps/v1", "deployments"),
    "Event": ("events.k8s.io/v1", "events"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Pod": ("v1", "pods"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "Service": ("v1", "services"),
}
"""API version and plural of every kind the command looks at."""
OUR_KINDS: Final = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, in the words of the API's access rules."""

    verb: str
    kind: str
    namespace: str = ""
    """Empty for all namespaces."""
    name: str = ""
    subresource: str = ""
    tail: str = ""
    """What follows the subresource in the path."""
    port: str = ""
    """The port of a Pod, for its proxy."""

    @property
    def group(self) -> str:
        """The API group; empty for the core's."""
        return PATHS[self.kind][0].rpartition("/")[0]

    @property
    def resource(self) -> str:
        """The resource as a Role names it, `pods/log`."""
        plural = PATHS[self.kind][1]
        return f"{plural}/{self.subresource}" if self.subresource else plural

    @property
    def path(self) -> str:
        """The path of the request."""
        api_version, plural = PATHS[self.kind]
        root = "apis" if "/" in api_version else "api"
        parts = [root, api_version]
        parts += ["namespaces", self.namespace] if self.namespace else []
        name = f"{self.name}:{self.port}" if self.port else self.name
        parts += [part for part in (plural, name, self.subresource, self.tail) if part]
        return "/" + "/".join(parts)

    @property
    def right(self) -> str:
        """The right it needs, in words."""
        group = f" of API group {self.group}" if self.group else ""
        place = f"in namespace {self.namespace}" if self.namespace else "in all namespaces"
        return f"{self.verb} {self.resource}{group} {place}"

    def __str__(self) -> str:
        what = f"{self.kind} {self.name}".strip()
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {what}{where}"
