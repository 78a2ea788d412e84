"""Everything the feeder raises on purpose.

FeederError
├── MalformedFrameError     a frame that cannot be read                     SKIP
├── ImpossibleValueError    a value that cannot be true                     SKIP
├── VenueUnavailableError   the venue cannot be reached or answered badly   RETRY
│   ├── VenueThrottledError     429: wait `retry_after_seconds`             RETRY
│   ├── VenueBannedError        418: wait `retry_after_seconds`             RETRY
│   └── CredentialsRefusedError the login was refused                       RETRY
├── ArchiveMissingError     the archive has no such file                    SKIP
├── ArchiveDamagedError     a file of the archive cannot be used            SKIP
├── SinkUnavailableError    the sink cannot be reached now                  RETRY
├── SinkRefusedError        the sink can never work as it is                FATAL
├── SpillUnusableError      the spill folder cannot be used                 FATAL
├── ClusterUnavailableError the Kubernetes API cannot be reached now        RETRY
├── ClusterRefusedError     the Kubernetes API said no                      RETRY
└── UnknownVenueError       no adapter of that name                         FATAL
"""

from enum import StrEnum

from feedplane_api.errors import FeedplaneError


class Retry(StrEnum):
    """What to do after an error."""

    RETRY = "retry"
    SKIP = "skip"
    FATAL = "fatal"


class FeederError(FeedplaneError):
    """Root of the feeder's errors."""

    retry = Retry.RETRY
    code = "feeder_error"
    """Stable word for the log field `error_code`."""


class MalformedFrameError(FeederError):
    """A frame that cannot be read."""

    retry = Retry.SKIP
    code = "frame_malformed"

    def __init__(self, reason: str, raw: bytes) -> None:
        super().__init__(reason, raw)
        self.reason = reason
        self.raw = raw

    def __str__(self) -> str:
        return f"Expected a frame of the venue's protocol, was {self.raw[:120]!r}: {self.reason}"


class ImpossibleValueError(FeederError):
    """A value that cannot be true; `reason` is the word for the quarantine row."""

    retry = Retry.SKIP
    code = "value_impossible"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"Expected a value that can be true, was {self.reason}"


class VenueUnavailableError(FeederError):
    """The venue cannot be reached, or answered in a way that only time can cure."""

    code = "venue_unavailable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"Expected an answer from {self.url}, was {self.reason}"


class VenueThrottledError(VenueUnavailableError):
    """The venue asks for a pause (HTTP 429)."""

    code = "venue_throttled"

    def __init__(self, url: str, reason: str, retry_after_seconds: float) -> None:
        super().__init__(url, reason)
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{super().__str__()}; may be asked again in {self.retry_after_seconds:g} s"


class VenueBannedError(VenueThrottledError):
    """The venue banned this address for a while (HTTP 418)."""

    code = "venue_banned"


class CredentialsRefusedError(VenueUnavailableError):
    """The venue refused the login."""

    code = "credentials_refused"


class ArchiveMissingError(FeederError):
    """The archive has no such file, or not yet."""

    retry = Retry.SKIP
    code = "archive_missing"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"Expected a file at {self.path}, was none"


class ArchiveDamagedError(FeederError):
    """A file of the archive cannot be used; `reason` is the word for the chunk's row."""

    retry = Retry.SKIP
    code = "archive_damaged"

    def __init__(self, path: str, reason: str, detail: str = "") -> None:
        super().__init__(path, reason, detail)
        self.path = path
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        more = f" ({self.detail})" if self.detail else ""
        return f"Expected a whole file at {self.path}, was {self.reason}{more}"


class SinkUnavailableError(FeederError):
    """The sink cannot be reached now; what was to be written is still to be written."""

    code = "sink_unavailable"

    def __init__(self, sink: str, reason: str) -> None:
        super().__init__(sink, reason)
        self.sink = sink
        self.reason = reason

    def __str__(self) -> str:
        return f"Expected sink {self.sink} to take the batch, was {self.reason}"


class SinkRefusedError(FeederError):
    """The sink can never work as it is, for instance a version that loses rows."""

    retry = Retry.FATAL
    code = "sink_refused"

    def __init__(self, sink: str, reason: str) -> None:
        super().__init__(sink, reason)
        self.sink = sink
        self.reason = reason

    def __str__(self) -> str:
        return f"Expected a usable sink {self.sink}, was refused: {self.reason}"


class ClusterUnavailableError(FeederError):
    """The Kubernetes API cannot be reached now."""

    code = "cluster_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"Expected an answer from the Kubernetes API, was {self.reason}"


class ClusterRefusedError(FeederError):
    """The Kubernetes API answered and said no; `status` is the HTTP status."""

    code = "cluster_refused"

    def __init__(self, path: str, status: int, reason: str) -> None:
        super().__init__(path, status, reason)
        self.path = path
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"Expected the Kubernetes API to allow {self.path}, was {self.status} {self.reason}"


class SpillUnusableError(FeederError):
    """The spill folder cannot be written, is in use by another process, or is damaged."""

    retry = Retry.FATAL
    code = "spill_unusable"

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"Expected a spill folder at {self.folder}, was {self.reason}"


class UnknownVenueError(FeederError):
    """No adapter has that name."""

    retry = Retry.FATAL
    code = "venue_unknown"

    def __init__(self, venue: str, known: tuple[str, ...]) -> None:
        super().__init__(venue, known)
        self.venue = venue
        self.known = known

    def __str__(self) -> str:
        return f"Expected one of the venues {', '.join(self.known)}, was {self.venue}"
