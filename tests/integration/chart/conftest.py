"""The chart as helm renders it, parsed."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from feedplane_cluster import toolchain, versions
from feedplane_cluster.cache import default_cache
from feedplane_cluster.process import run

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "feedplane"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


@pytest.fixture(scope="session")
def helm() -> Callable[..., str]:
    """Runs helm against the chart and returns what it printed."""
    program = toolchain.Toolchain(default_cache()).program(toolchain.HELM)

    def call(command: str, *arguments: str) -> str:
        return run(program, *command.split(), *arguments, timeout_seconds=60)

    return call


@pytest.fixture(scope="session")
def render(helm: Callable[..., str]) -> Render:
    """Renders the chart with `key=value` settings into parsed manifests, each set once."""

    @cache
    def call(*settings: str) -> list[Manifest]:
        words = [word for setting in settings for word in ("--set-json", setting)]
        text = helm(
            f"template feedplane {CHART} --namespace feeds",
            "--kube-version",
            versions.KUBERNETES,
            *words,
        )
        return [document for document in yaml.safe_load_all(text) if document]

    return call
