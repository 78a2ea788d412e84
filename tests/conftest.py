"""What every test needs before it starts."""

import asyncio
from pathlib import Path

import pytest

TREES = ("house", "unit", "model", "conformance", "integration", "e2e")
ROOT = Path(__file__).parent


def pytest_configure() -> None:
    """Leave the main thread without an event loop.

    Otherwise the first asynchronous test after a plain one makes asyncio create a loop that
    nobody closes, which is a warning and so an error at the end of the run.
    """
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take what is quick first, and last what leaves a busy cluster beside it."""
    items.sort(key=_tree)


def _tree(item: pytest.Item) -> int:
    return TREES.index(item.path.relative_to(ROOT).parts[0])
