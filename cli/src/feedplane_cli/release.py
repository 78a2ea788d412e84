"""Which release this command is of."""

from importlib.metadata import version
from typing import Final

DISTRIBUTION: Final = "feedplane-cli"


def own_version() -> str:
    """Return the version of the command."""
    return version(DISTRIBUTION)
