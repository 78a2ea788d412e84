"""What can go wrong on the way to a cluster.

ClusterError
├── CommandError          a program ended with an error
├── MissingToolError      something has to be installed, and only a person can do it
└── NotReadyError         something started and did not become ready in time
"""

from collections.abc import Sequence


class ClusterError(Exception):
    """The cluster, or something it needs, cannot be had."""


class CommandError(ClusterError):
    """A program ended with an error; its last lines are kept."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        super().__init__(command, code, output)
        self.command = tuple(command)
        self.code = code
        self.output = output

    def __str__(self) -> str:
        tail = "\n".join(self.output.strip().splitlines()[-25:])
        return f"`{' '.join(self.command)}` ended with {self.code}:\n{tail}"


class MissingToolError(ClusterError):
    """Something has to be installed first."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}"


class NotReadyError(ClusterError):
    """Something was started and is not ready in time."""

    def __init__(self, what: str, seconds: float, detail: str = "") -> None:
        super().__init__(what, seconds, detail)
        self.what = what
        self.seconds = seconds
        self.detail = detail

    def __str__(self) -> str:
        tail = "\n".join(self.detail.strip().splitlines()[-25:])
        return f"Expected {self.what} within {self.seconds:.0f} s, was not ready\n{tail}".rstrip()
