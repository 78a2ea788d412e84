"""Programs run to their end, waiting on a condition, and children that never outlive us."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from feedplane_cluster.errors import CommandError, NotReadyError

Argument = str | Path


def run(
    *command: Argument,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | IO[bytes] | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run a program to its end and return what it printed on standard output.

    Raises: CommandError with the tail of its output when it fails or takes too long.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(  # noqa: UP022 - stderr is kept apart from the answer
            words,
            cwd=cwd,
            env={**os.environ, **env} if env else None,
            input=stdin.encode() if isinstance(stdin, str) else None,
            stdin=_stdin(stdin),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(words, 124, f"no end within {error.timeout} s") from error
    except FileNotFoundError as error:
        raise CommandError(words, 127, str(error)) from error
    if done.returncode != 0:
        text = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
        raise CommandError(words, done.returncode, text)
    return done.stdout.decode(errors="replace")


def _stdin(stdin: str | IO[bytes] | None) -> int | IO[bytes] | None:
    if isinstance(stdin, str):
        return None  # subprocess makes the pipe itself
    return subprocess.DEVNULL if stdin is None else stdin


def pipe(source: Sequence[Argument], sink: Sequence[Argument]) -> str:
    """Run one program into another and return what the second printed.

    Raises: CommandError when either fails.
    """
    words = [str(word) for word in source]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = run(*sink, stdin=process.stdout)
    if process.returncode != 0:
        raise CommandError(words, process.returncode, "")
    return answer


def succeeds(*command: Argument, timeout_seconds: float = 30) -> bool:
    """Whether a program exists and ends well."""
    try:
        run(*command, timeout_seconds=timeout_seconds)
    except CommandError:
        return False
    return True


def wait_until(
    ready: Callable[[], bool],
    what: str,
    *,
    seconds: float,
    detail: Callable[[], str] = str,
    poll_seconds: float = 0.1,
) -> None:
    """Wait on a condition.

    Raises: NotReadyError when it does not come true in time.
    """
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise NotReadyError(what, seconds, detail())
        time.sleep(poll_seconds)


class Undertaker:
    """Runs shell commands when this process ends, however it ends.

    A waiting shell holds the reading end of a pipe; the kernel closes the writing end with us,
    also on SIGKILL. Parent-death signals would not do: they fire when the *thread* that started
    the child ends, and fixtures may well start servers from a worker thread.
    """

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", 'commands=$(cat); eval "$commands"'],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def entrust(self, *command: Argument) -> None:
        """Add a command to run at the end."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{shlex.join(map(str, command))}\n".encode())
        self._shell.stdin.flush()

    def dismiss(self) -> None:
        """Let go without running anything: what was entrusted has been done."""
        self._shell.kill()
        self._shell.communicate()
