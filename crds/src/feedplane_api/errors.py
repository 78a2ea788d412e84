"""What can be wrong with a document a person or the operator wrote.

FeedplaneError
└── InvalidWorkerConfigError    a worker configuration that cannot be used
"""


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
