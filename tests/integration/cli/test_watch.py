"""`status --watch` as it is seen: on a terminal, and through a pipe."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support_cli_cluster import Person, place_feed
from support_operator import Server, wait_for

from feedplane_cli.errors import ExitStatus

SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def watching(person: Person, output: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `status --watch` and end it as a person does."""
    command = [sys.executable, "-m", "feedplane_cli", "status", "spot", "--watch"]
    place = ["-n", person.namespace, "--kubeconfig", str(person.kubeconfig), "--interval", "0.3"]
    variables = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "160"}
    process = subprocess.Popen(
        [*command, *place], stdout=output, stderr=output, env={**variables, **environment}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == ExitStatus.INTERRUPTED


def rename(server: Server, namespace: str, account: str) -> None:
    server.merge("FeedSource", namespace, "spot", {"status": {"activeAccount": account}}, "/status")


def test_watch_through_a_pipe_writes_what_changed(
    server: Server, admin: Person, tmp_path: Path
) -> None:
    place_feed(server, admin.namespace)
    path = tmp_path / "lines"
    with path.open("wb") as file, watching(admin, file.fileno()):
        wait_for(lambda: "active main" in path.read_text(), 20)
        rename(server, admin.namespace, "backup")
        wait_for(lambda: "active backup" in path.read_text(), 20)
    text = path.read_text()
    assert text.count("active main") == text.count("active backup") == 1
    assert "\x1b" not in text


@pytest.mark.parametrize(("variables", "colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_watch_on_a_terminal_draws_in_place(
    server: Server, admin: Person, variables: dict[str, str], colour: bool
) -> None:
    place_feed(server, admin.namespace)
    screen, terminal = pty.openpty()
    os.set_blocking(screen, False)
    seen = bytearray()

    def shows(words: str) -> bool:
        with suppress(BlockingIOError):
            seen.extend(os.read(screen, 65_536))
        return words in SEQUENCE.sub("", seen.decode(errors="replace"))

    with watching(admin, terminal, **variables):
        wait_for(lambda: shows("Ctrl-C ends"), 20)
        rename(server, admin.namespace, "backup")
        wait_for(lambda: shows("active backup"), 20)
    os.close(terminal)
    os.close(screen)
    assert (b"\x1b[32m" in seen) is colour
    assert b"\x1b[1A" in seen or b"\x1b[2K" in seen
