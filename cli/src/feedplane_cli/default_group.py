"""A group of commands one of which is meant when none is named.

So `report spot` stays short, and further commands find their place below `report`.
"""

from typing import Any

from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """Takes the first command as meant unless the line begins with another, or asks for help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the first command in where none stands."""
        first = args[0] if args else ""
        if first not in self.commands and first != "--help":
            args = [next(iter(self.commands)), *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed
