from pathlib import Path
from typing import Any

import pytest

from feedplane_cluster.demo_views import further, pods_table, readiness


def with_ready(status: str, reason: str, message: str = "") -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"status": {"conditions": [{"type": "Accepted", "status": "True"}, ready]}}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({}, "not seen by the operator yet"),
        ({"status": {"conditions": []}}, "not seen by the operator yet"),
        (with_ready("True", "AllLive"), "ready"),
        (with_ready("False", "NotStreaming", "0 of 12 live"), "NotStreaming: 0 of 12 live"),
        (with_ready("Unknown", "NoAnswer"), "NoAnswer"),
    ],
)
def test_readiness_says_what_the_condition_says(item: dict[str, Any], words: str) -> None:
    assert readiness(item) == words


def test_pods_table_counts_ready_and_restarts() -> None:
    states = [{"ready": True, "restartCount": 1}, {"ready": False, "restartCount": 2}]
    pods: list[dict[str, Any]] = [
        {"metadata": {"name": "a"}, "status": {"containerStatuses": states}},
        {"metadata": {"name": "b"}, "status": {"containerStatuses": states[:1]}},
        {"metadata": {"name": "c"}},
    ]
    table = pods_table(pods)
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["Pod"] == ["a", "b", "c"]
    assert cells["Ready"] == ["no", "yes", "no"]
    assert cells["Restarts"] == ["3", "1", "0"]


def test_further_names_the_clusters_own_kubeconfig() -> None:
    text = further(Path("/programs"), Path("/clusters/one/kubeconfig"))
    assert "PATH=/programs:$PATH KUBECONFIG=/clusters/one/kubeconfig" in text
    assert "make clean-demo" in text
