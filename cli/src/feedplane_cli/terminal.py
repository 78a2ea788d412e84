"""Where the command writes: coloured on a terminal, plain everywhere else.

rich respects NO_COLOR, FORCE_COLOR and TERM itself.
"""

import io
import sys
from enum import StrEnum
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

PLAIN_WIDTH: Final = 200
"""Width where nobody looks: wide enough that no line is broken."""


class Output(StrEnum):
    """Forms of an answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Format(StrEnum):
    """Forms of an answer that is a list."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def make_console(*, stderr: bool = False) -> Console:
    """Return a console for standard output, or standard error."""
    stream = sys.stderr if stderr else sys.stdout
    console = Console(file=stream, highlight=False, emoji=False, soft_wrap=False)
    if not console.is_terminal:
        return Console(
            file=stream, highlight=False, emoji=False, width=PLAIN_WIDTH, color_system=None
        )
    return console


def draw(renderable: RenderableType) -> None:
    """Draw a table on standard output; where nobody looks, without the blanks that fill lines."""
    console = make_console()
    if console.is_terminal:
        console.print(renderable)
        return
    write_plain(render_plain(renderable))


def render_plain(renderable: RenderableType, width: int = PLAIN_WIDTH) -> str:
    """Return what would be drawn, as plain text."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, highlight=False, emoji=False)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def warn(message: str) -> None:
    """Say on standard error what a person should know."""
    text = Text.assemble(("Note: ", "yellow"), message)
    make_console(stderr=True).print(text, soft_wrap=True)


def complain(message: str, advice: str = "") -> None:
    """Say on standard error what is wrong, and what to do."""
    console = make_console(stderr=True)
    console.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)
    if advice:
        console.print(Text(advice, style="dim"), soft_wrap=True)


def say(message: str | Text) -> None:
    """Say one sentence on standard output."""
    make_console().print(message if isinstance(message, Text) else Text(message), soft_wrap=True)


def write_plain(text: str) -> None:
    """Write text for a program to standard output, as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()
