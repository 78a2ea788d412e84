"""Where a FeedSource's records go: one store or bus per entry of `spec.sinks`.

Must not know how any of them is written.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from feedplane_api.schema import SET, ApiModel, DnsLabel, ObjectName, Rule, WebUrl

SINK_KINDS = ("postgres", "nats", "kafka", "clickhouse", "file")

SecretKey = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
HostPort = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?:[0-9]{1,5}$", max_length=260)
]
NatsUrl = Annotated[str, Field(pattern=r"^(nats|tls|wss?)://[^\s@]+$", max_length=512)]
SubjectPrefix = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$", max_length=64)
]
SqlName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$", max_length=63)]


class DsnSecretRef(ApiModel):
    """Key of a Secret that holds a connection string."""

    name: ObjectName
    """Name of the Secret, in the namespace of the FeedSource."""
    key: SecretKey = "dsn"
    """Key whose value is the connection string, as `postgresql://user:password@host/database`."""


class CredentialsKeyRef(ApiModel):
    """Key of a Secret that holds a login."""

    name: ObjectName
    """Name of the Secret, in the namespace of the FeedSource."""
    key: SecretKey = "credentials"
    """Key whose value is the login."""


def _compressed_before_dropped(sink: "PostgresSink") -> bool:
    if sink.retention_days is None or sink.compress_after_days is None:
        return True
    return sink.compress_after_days < sink.retention_days


class PostgresSink(ApiModel):
    """A PostgreSQL or TimescaleDB database."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.retentionDays) || !has(self.compressAfterDays)"
            " || self.compressAfterDays < self.retentionDays",
            message="compressAfterDays must be less than retentionDays",
            field=".compressAfterDays",
            holds=_compressed_before_dropped,
        ),
    )

    dsn_secret_ref: DsnSecretRef
    """The Secret key that holds the connection string."""
    schema_name: SqlName = Field(default="feedplane", alias="schema")
    """Schema of the tables; it is created when it does not exist and the user may do so."""
    chunk_interval_hours: int = Field(default=24, ge=1, le=8760)
    """Hours of data in one chunk, where tables are TimescaleDB hypertables, and thirty times as
    many of bars and metrics; it counts when the tables are made."""
    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """Days that rows of the data tables are kept, whoever wrote them; unset keeps all of them. Of
    FeedSources that share a schema the shortest counts."""
    compress_after_days: int | None = Field(default=None, ge=1, le=36_500)
    """Age in days at which chunks are compressed, where TimescaleDB has its community license;
    choose more than you may still backfill. Unset compresses nothing."""


class NatsSink(ApiModel):
    """A NATS JetStream stream."""

    servers: Annotated[tuple[NatsUrl, ...], Field(min_length=1, max_length=8), SET]
    """Addresses to connect to, as `nats://nats.messaging:4222`."""
    credentials_secret_ref: CredentialsKeyRef | None = None
    """The Secret key that holds a NATS credentials file; unset connects without a login."""
    subject_prefix: SubjectPrefix = "feedplane"
    """First part of each subject; venue, channel and instrument follow."""


class KafkaSink(ApiModel):
    """Topics of a Kafka cluster, one per channel."""

    bootstrap_servers: Annotated[tuple[HostPort, ...], Field(min_length=1, max_length=8), SET]
    """Addresses to ask for the cluster, as `kafka.messaging:9092`."""
    credentials_secret_ref: CredentialsKeyRef | None = None
    """The Secret key that holds client properties for TLS and SASL; unset uses neither."""
    topic_prefix: SubjectPrefix = "feedplane"
    """First part of each topic; the channel follows."""


class ClickhouseSink(ApiModel):
    """A ClickHouse database."""

    url: WebUrl
    """HTTP address without a login, as `http://clickhouse.analytics:8123`."""
    credentials_secret_ref: CredentialsKeyRef | None = None
    """The Secret key that holds `user:password`; unset connects as the default user."""
    database: SqlName = "feedplane"
    """Database of the tables; it is created when it does not exist and the user may do so."""


class FileSink(ApiModel):
    """JSON lines in the feeder's own file system, one file per channel and UTC day.

    For trials: the files are gone with the Pod.
    """

    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]*$", max_length=256)]
    """Folder the files are written to."""


def _one_kind(sink: "Sink") -> bool:
    return sum(getattr(sink, kind) is not None for kind in SINK_KINDS) == 1


class Sink(ApiModel):
    """One store or bus that gets each record."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"[{', '.join(f'has(self.{kind})' for kind in SINK_KINDS)}]"
            ".filter(present, present).size() == 1",
            message=f"exactly one of {', '.join(SINK_KINDS)} must be set",
            field=".name",
            holds=_one_kind,
        ),
    )

    name: Annotated[DnsLabel, Field(max_length=20)]
    """Name of the entry, in metrics and status."""
    postgres: PostgresSink | None = None
    """A PostgreSQL or TimescaleDB database."""
    nats: NatsSink | None = None
    """A NATS JetStream stream."""
    kafka: KafkaSink | None = None
    """Topics of a Kafka cluster."""
    clickhouse: ClickhouseSink | None = None
    """A ClickHouse database."""
    file: FileSink | None = None
    """JSON lines in the feeder's file system, for trials."""
