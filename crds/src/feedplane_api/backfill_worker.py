"""The contract between operator and backfill workers: the file one renders, what the other says.

`BackfillConfig` is the whole configuration of the workers of one run; which of them a process is
tells its environment. `BackfillReport` is what a worker answers on `/status` and leaves as its
termination message. Must not know Kubernetes objects or how either side works.
"""

from typing import Annotated, Literal, Self

import yaml
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from feedplane_api.backfill import BackfillMode, BackfillSource
from feedplane_api.contract import ContractModel, FeedSourceIdentity
from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.worker import Endpoints, Limits, LogFormat, PostgresSinkConfig, Wanted

LONGEST_REPORT = 4_096
"""Bytes of a termination message that the kubelet keeps."""


class BackfillConfig(ContractModel):
    """Everything the workers of one run need to know."""

    version: Literal[1] = 1
    """Version of this format."""
    feed_source: FeedSourceIdentity = FeedSourceIdentity()
    """Whose venue, limits and sink are used."""
    name: str = Field(default="local", max_length=128)
    """Name of the Backfill."""
    run: str = Field(default="1", max_length=64)
    """Which run of it: a run that is started again goes on where it stopped, another begins."""
    venue: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=32)
    """Adapter name, for instance `binance-spot`."""
    endpoints: Endpoints = Endpoints()
    """Base URLs in place of the venue's own."""
    credentials_path: str | None = None
    """Folder with one file per credential key; absent where the venue needs none."""
    wanted: tuple[Wanted, ...] = Field(min_length=1)
    """What is fetched, instrument by instrument."""
    start: AwareDatetime
    """First moment of the range."""
    end: AwareDatetime
    """First moment after the range; what has not happened yet is left out."""
    mode: BackfillMode = BackfillMode.MISSING_ONLY
    """What is done about rows that are there already."""
    sources: tuple[BackfillSource, ...] = Field(
        default=(BackfillSource.ARCHIVE, BackfillSource.REST), min_length=1, max_length=2
    )
    """Where to look, in order."""
    workers: int = Field(default=1, ge=1, le=1_000)
    """Workers of the run; each takes its share by its index."""
    tries: int = Field(default=3, ge=1, le=10)
    """Tries of a chunk before it counts as failed."""
    lanes: int = Field(default=2, ge=1, le=16)
    """Connections to the database that write at once."""
    fetches: int = Field(default=4, ge=1, le=32)
    """Pieces that are fetched at once."""
    limits: Limits = Limits()
    """Tighter budgets than the venue's own."""
    sink: PostgresSinkConfig
    """Where rows and the memory of chunks go."""
    http_port: int = Field(default=8000, ge=0, le=65_535)
    """Port of /healthz, /readyz, /status and /metrics; 0 picks a free one."""
    log_format: LogFormat = LogFormat.JSON
    """How log lines are written, to standard error."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe lines that are written."""

    @model_validator(mode="after")
    def _range_has_an_inside(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self

    @property
    def key(self) -> str:
        """The run's name in the table of chunks."""
        return f"{self.feed_source.namespace}/{self.name}/{self.run}"


class ChunkProblem(ContractModel):
    """A chunk that failed, or lacks rows."""

    instrument: Annotated[str, Field(max_length=64)]
    """The venue's symbol."""
    channel: Annotated[str, Field(max_length=16)]
    """The channel."""
    day: Annotated[str, Field(max_length=10)]
    """The UTC day it begins on."""
    reason: Annotated[str, Field(max_length=64)]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=256)] = ""
    """Why, in a sentence."""


class BackfillReport(ContractModel):
    """How far one worker is; the last one is its termination message."""

    worker: int = 0
    """Index of the worker."""
    ended: bool = False
    """Whether it has nothing left to do."""
    chunks_total: int = 0
    """Chunks of its share."""
    chunks_done: int = 0
    """Chunks fetched and checked, or there already."""
    chunks_failed: int = 0
    """Chunks that failed for good."""
    chunks_present: int = 0
    """Of those done, the ones that needed no fetch."""
    rows_new: int = 0
    """Rows that were new."""
    rows_updated: int = 0
    """Rows that replaced another version of themselves."""
    rows_duplicate: int = 0
    """Rows that were there already."""
    rows_quarantined: int = 0
    """Rows that failed a check."""
    rows_expected: int = 0
    """Rows that time or the venue's own numbers lead one to expect."""
    rows_missing: int = 0
    """Of those, the ones that are nowhere."""
    rows_per_second: int = 0
    """The rate of late."""
    seconds_left: int | None = None
    """How long the rest takes at the rate of late; absent where nothing tells."""
    banned_until: AwareDatetime | None = None
    """End of a ban by the venue; absent where there is none."""
    failed: tuple[ChunkProblem, ...] = ()
    """The first chunks that failed for good."""


def parse_backfill_config(text: str) -> BackfillConfig:
    """Read a BackfillConfig from YAML text.

    Raises:
        InvalidWorkerConfigError: not YAML, or a field is missing, unknown or out of range.
    """
    try:
        return BackfillConfig.model_validate(yaml.load(text, Loader=yaml.CSafeLoader))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "(document)"
        raise InvalidWorkerConfigError(path, f"{first['msg']}, was {first['input']!r}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidWorkerConfigError("(document)", f"not YAML: {error}") from error


def render_backfill_config(config: BackfillConfig) -> str:
    """Write a BackfillConfig as YAML; what equals a default is left out."""
    document = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return str(yaml.dump({"version": 1, **document}, Dumper=yaml.CSafeDumper, sort_keys=True))


def render_termination(report: BackfillReport) -> str:
    """Write a report as a termination message: as many failed chunks as there is room for."""
    failed = report.failed
    while True:
        text = report.model_copy(update={"failed": failed}).model_dump_json(
            by_alias=True, exclude_defaults=True
        )
        if len(text.encode()) <= LONGEST_REPORT or not failed:
            return text
        failed = failed[: len(failed) * 3 // 4]


def parse_termination(text: str) -> BackfillReport | None:
    """Read a termination message; None where it is not a report."""
    try:
        return BackfillReport.model_validate_json(text)
    except ValidationError:
        return None
