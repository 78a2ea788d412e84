"""What can be wrong with a document a person or the operator wrote.

FeedplaneError
├── InvalidSpecError            a resource whose spec cannot be used
└── InvalidWorkerConfigError    a worker configuration that cannot be used
"""

from dataclasses import dataclass


class FeedplaneError(Exception):
    """Root of everything Feedplane raises on purpose."""


class InvalidWorkerConfigError(FeedplaneError):
    """A worker configuration that cannot be used; `path` is the field, `rule` what it breaks."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(path, rule)
        self.path = path
        self.rule = rule

    def __str__(self) -> str:
        return f"Expected a usable worker configuration, was wrong at {self.path}: {self.rule}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that cannot be used."""

    path: str
    """The field as a person would write it: `spec.accounts[1].name`."""
    rule: str
    """What was expected there."""
    seen: str | None = None
    """The value found; None where it is absent or may be a secret."""

    def __str__(self) -> str:
        was = "" if self.seen is None else f", was {self.seen}"
        return f"{self.path}: {self.rule}{was}"


class InvalidSpecError(FeedplaneError):
    """A resource whose spec cannot be used; `problems` name each field, never a secret's value."""

    SHOWN = 5

    def __init__(self, kind: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(kind, problems)
        self.kind = kind
        self.problems = problems

    @property
    def path(self) -> str:
        """The first field that is wrong."""
        return self.problems[0].path

    def __str__(self) -> str:
        shown = "; ".join(str(problem) for problem in self.problems[: self.SHOWN])
        hidden = len(self.problems) - self.SHOWN
        more = f"; and {hidden} more" if hidden > 0 else ""
        return f"Expected a valid {self.kind}, was wrong at {shown}{more}"
