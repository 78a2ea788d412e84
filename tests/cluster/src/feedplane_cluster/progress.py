"""What a person sees while something slow is prepared: one line per step, with its time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False, soft_wrap=True)
# Two live displays cannot share a terminal: the second of two parallel steps prints plain lines.
_spinner = threading.Lock()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show that a step runs, then how long it took."""
    started = time.monotonic()
    with_spinner = console.is_terminal and _spinner.acquire(blocking=False)
    try:
        if with_spinner:
            with console.status(title):
                yield
        else:
            console.print(f"  … {title}")
            yield
    except BaseException:
        console.print(f"[red]  ✗[/] {title}")
        raise
    finally:
        if with_spinner:
            _spinner.release()
    console.print(f"[green]  ✓[/] {title} [dim]{time.monotonic() - started:.1f} s[/]")


def note(text: str) -> None:
    """Say one thing worth knowing."""
    console.print(f"    {text}")
