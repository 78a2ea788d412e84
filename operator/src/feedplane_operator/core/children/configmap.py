"""The ConfigMap with a feeder's configuration; the feeder watches it."""

from functools import lru_cache
from typing import Any, Final

from feedplane_api.feed_source import FeedSource
from feedplane_api.names import GROUP, WORKER_CONFIG_KEY
from feedplane_api.worker import WorkerConfig, render_worker_config
from feedplane_operator.core.children.metadata import child_metadata, worker_labels
from feedplane_operator.core.workers import Worker

ANNOTATION_WORKER_HASH: Final = f"{GROUP}/worker-config-hash"
"""Hash of the whole configuration; a feeder that has taken it over reports the same."""
_RENDERED: Final = 4096


def build_config_map(feed_source: FeedSource, worker: Worker) -> dict[str, Any]:
    """Build the ConfigMap of one feeder."""
    metadata = child_metadata(feed_source, worker.name, worker_labels(feed_source, worker))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "annotations": {ANNOTATION_WORKER_HASH: worker.config_hash}},
        "data": {WORKER_CONFIG_KEY: _render(worker.config_hash, _Unhashed(worker.config))},
    }


class _Unhashed:
    """A configuration that the cache tells apart by its hash alone."""

    __slots__ = ("config",)

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unhashed)

    def __hash__(self) -> int:
        return 0


# Writing YAML is the slowest thing a reconcile does, and nearly always the text is the last one.
@lru_cache(maxsize=_RENDERED)
def _render(digest: str, unhashed: _Unhashed) -> str:
    return render_worker_config(unhashed.config)
