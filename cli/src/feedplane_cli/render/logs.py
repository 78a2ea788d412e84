"""One log line, prefixed and coloured by whose it is."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from feedplane_cli.core.log_lines import LogLine
from feedplane_cli.render.words import BAD, DOUBTFUL, QUIET

PALETTE: Final = ("cyan", "magenta", "green", "blue", "bright_cyan", "bright_magenta")
_LEVELS: Final = {"ERROR": BAD, "CRITICAL": BAD, "WARNING": DOUBTFUL, "DEBUG": QUIET}


def render_line(line: LogLine, prefix: str, style: str) -> Text:
    """Draw a line."""
    text = Text.assemble((prefix, style), " " if prefix else "")
    level = _LEVELS.get(line.level, "")
    if line.clock:
        text.append(f"{line.clock} ", style=QUIET)
    if line.level:
        text.append(f"{line.level:<7} ", style=level)
    if line.component:
        text.append(f"{line.component:<12} ", style=QUIET)
    text.append(line.message, style=level)
    for name, value in line.fields:
        text.append(f"  {name}=", style=QUIET)
        text.append(value)
    if line.trailer:
        text.append(f"\n{line.trailer}", style=QUIET)
    return text


def pick_style(account: str, accounts: Sequence[str]) -> str:
    """Return an account's colour: the same for all of its feeders, by its place in the spec."""
    place = accounts.index(account) if account in accounts else len(accounts)
    return PALETTE[place % len(PALETTE)]
