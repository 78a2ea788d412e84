"""Where to look: the cluster and the namespace a person means."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The options every command has."""

    namespace: str = ""
    """Empty takes that of the kubeconfig's context."""
    context: str = ""
    kubeconfig: Path | None = None
