"""What the postgres sink decides without a database: errors and connection strings."""

from pathlib import Path

import asyncpg
import pytest
from support_sinks import make_trade

from feedplane_api.worker import PostgresSinkConfig
from feedplane_feeder.core.ports import Batch
from feedplane_feeder.errors import FeederError, SinkRefusedError, SinkUnavailableError
from feedplane_feeder.sinks.postgres import PostgresSink, describe

SECRET = "correct-horse"  # noqa: S105 - looked for in error texts


def make_sink(config: PostgresSinkConfig) -> PostgresSink:
    return PostgresSink(config, venue="binance-spot", feed_source="default/spot", account="a")


@pytest.mark.parametrize(
    "dsn",
    [
        pytest.param(f"postgresql://feedplane:{SECRET}@127.0.0.1:1/tape", id="nobody listens"),
        pytest.param(f"mysql://feedplane:{SECRET}@127.0.0.1/tape", id="another scheme"),
        pytest.param(f"postgresql://feedplane:{SECRET}@127.0.0.1:port/tape", id="port is a word"),
        pytest.param(f"postgresql://feedplane:{SECRET}@/tape?port=x", id="query is odd"),
        pytest.param(f"host=127.0.0.1 password={SECRET}", id="key-value form"),
        pytest.param("", id="empty"),
    ],
)
async def test_postgres_open_never_tells_the_password(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text(dsn)
    with pytest.raises(SinkUnavailableError) as raised:
        await make_sink(PostgresSinkConfig(dsn_path=str(tmp_path / "dsn"))).open()
    chain: list[BaseException] = [raised.value]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    assert SECRET not in " ".join(str(error) for error in chain)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        pytest.param(PostgresSinkConfig(), SinkRefusedError, id="no place named"),
        pytest.param(
            PostgresSinkConfig(dsn_path="/absent/dsn"), SinkUnavailableError, id="file absent"
        ),
        pytest.param(
            PostgresSinkConfig(dsn_env="FEEDPLANE_ABSENT"), SinkUnavailableError, id="not set"
        ),
    ],
)
async def test_postgres_open_without_address_fails(
    config: PostgresSinkConfig, error: type[FeederError]
) -> None:
    with pytest.raises(error):
        await make_sink(config).open()


async def test_postgres_write_before_open_is_unavailable() -> None:
    sink = make_sink(PostgresSinkConfig(dsn_env="DSN"))
    with pytest.raises(SinkUnavailableError):
        await sink.write(Batch(records=[make_trade(1)]))
    await sink.close()


def test_describe_keeps_what_was_written_out() -> None:
    error = asyncpg.UniqueViolationError("duplicate key value violates a constraint")
    error.detail = "Key (instrument_id) = (secret row)"
    assert "secret row" not in describe(error)
    assert "23505" in describe(error)
    assert describe(TimeoutError()) == "no answer in time"
    assert describe(ConnectionRefusedError(111, "Connect call failed")).endswith("failed")
    assert describe(asyncpg.InterfaceError("dsn here")) == "InterfaceError"
