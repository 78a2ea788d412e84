"""A support bundle before it is packed: its files, and what could not be had.

Everything passes through the redaction here, so that nothing can get in beside it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import yaml

from feedplane_cli.core.documents import Manifest, name_of, word
from feedplane_cli.core.redact import redact_config_map, redact_document, redact_text

FORMAT: Final = 1
NOTE: Final = (
    "Secrets are never read. Logins, tokens, values of URL queries and what else looks like a"
    " credential are replaced by ***. Look through the files before you send them all the same."
)


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that could not be had, and why."""

    what: str
    why: str


@dataclass(slots=True)
class Bundle:
    """Files by their path, in the order they came."""

    files: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)

    def add_text(self, path: str, text: str) -> None:
        """Add free text."""
        self.files[path] = redact_text(text)

    def add_json(self, path: str, text: str) -> None:
        """Add a JSON document; text that is none is added as text."""
        try:
            document = json.loads(text)
        except ValueError:
            self.add_text(path, text)
        else:
            self.files[path] = json.dumps(redact_document(document), indent=2) + "\n"

    def add_object(self, path: str, document: Manifest) -> None:
        """Add a Kubernetes object.

        Raises:
            ValueError: it is a Secret, which has no place in a bundle.
        """
        kind = document.get("kind")
        if kind == "Secret":
            raise ValueError(f"Expected anything but a Secret, was {name_of(document)}")
        redact = redact_config_map if kind == "ConfigMap" else redact_document
        self.files[path] = yaml.safe_dump(redact(document), sort_keys=False, width=100)

    def add_objects(self, folder: str, documents: Iterable[Manifest]) -> None:
        """Add Kubernetes objects, each as a file named after it."""
        for document in documents:
            self.add_object(f"{folder}/{name_of(document)}.yaml", document)

    def miss(self, what: str, why: str) -> None:
        """Write down that something could not be had."""
        self.missing.append(Missing(what, redact_text(why)))

    def build_manifest(self, about: Mapping[str, Any], now: datetime) -> str:
        """Return `manifest.json`: what the bundle holds, and what it lacks."""
        document = {
            "format": FORMAT,
            "created": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            **about,
            "note": NOTE,
            "files": [
                {"path": path, "bytes": len(text.encode())}
                for path, text in sorted(self.files.items())
            ],
            "missing": [{"what": one.what, "why": one.why} for one in self.missing],
        }
        return json.dumps(redact_document(document), indent=2) + "\n"


def root_name(name: str, now: datetime) -> str:
    """Return the folder inside a bundle, from which the default file name is made as well."""
    return f"feedplane-report-{name or 'all'}-{now.strftime('%Y%m%dT%H%M%SZ')}"


def refers_to(document: Manifest, feeds: Iterable[str]) -> bool:
    """Whether a Subscription or Backfill belongs to one of the FeedSources."""
    return word(document, "spec", "feedSourceRef", "name") in set(feeds)


def concerns(event: Manifest, names: Iterable[str]) -> bool:
    """Whether an event is about one of the objects."""
    return word(event, "regarding", "name") in set(names)


def http_port(pod: Manifest, default: int) -> int:
    """Return the port a feeder answers on."""
    for container in (pod.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == "http":
                return int(port["containerPort"])
    return default


def restarted(pod: Manifest) -> bool:
    """Whether a container of the Pod ran before and ended."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(status.get("restartCount", 0) > 0 for status in statuses)


def running(pod: Manifest) -> bool:
    """Whether the Pod has an address and runs."""
    return word(pod, "status", "phase") == "Running" and bool(word(pod, "status", "podIP"))


def images(pods: Iterable[Manifest]) -> dict[str, int]:
    """Return how many of the Pods run each image."""
    found: dict[str, int] = {}
    for pod in pods:
        for container in (pod.get("spec") or {}).get("containers") or ():
            image = str(container.get("image", ""))
            found[image] = found.get(image, 0) + 1
    return dict(sorted(found.items()))
