import pytest
from pydantic import ValidationError

from feedplane_api.sinks import SINK_KINDS, Sink


def test_postgres_sink_has_the_usual_names() -> None:
    sink = Sink.model_validate({"name": "db", "postgres": {"dsnSecretRef": {"name": "tape"}}})
    assert sink.postgres is not None
    assert sink.postgres.schema_name == "feedplane"
    assert sink.postgres.dsn_secret_ref.key == "dsn"
    assert sink.postgres.chunk_interval_hours == 24


def test_sink_kinds_are_the_fields_besides_the_name() -> None:
    assert set(SINK_KINDS) == Sink.model_fields.keys() - {"name"}


@pytest.mark.parametrize(
    "document",
    [
        {"postgres": {"dsnSecretRef": {"name": "tape"}, "schema": "Tape"}},
        {"postgres": {"dsnSecretRef": {"name": "tape"}, "retentionDays": 0}},
        {"postgres": {"dsnSecretRef": {"name": "tape"}, "compressAfterDays": 0}},
        {"nats": {"servers": []}},
        {"nats": {"servers": ["nats://user:password@host:4222"]}},
        {"kafka": {"bootstrapServers": ["kafka"]}},
        {"clickhouse": {"url": "tcp://host"}},
        {"file": {"path": "relative/path"}},
    ],
    ids=lambda document: next(iter(document)),
)
def test_sink_with_an_unusable_part_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Sink.model_validate({"name": "sink", **document})
