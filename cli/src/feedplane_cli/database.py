"""The database a tape is in, for reading only; connection strings come from outside the line.

Whoever can list processes can read their arguments, so a connection string is taken from an
environment variable or a file and never shown. Foreign errors become ours here.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from feedplane_cli.errors import RefusedError, UnreachableError, UsageError
from feedplane_feeder.log import hide_secrets

DEFAULT_ENV: Final = "FEEDPLANE_DSN"
CONNECT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where to find a connection string."""

    env: str = DEFAULT_ENV
    """Environment variable that holds it."""
    file: Path | None = None
    """File that holds it, before the variable."""

    def read(self) -> str:
        """Return the connection string.

        Raises:
            UsageError: there is none.
        """
        if self.file is not None:
            try:
                text = self.file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{self.file} cannot be read: {error}") from None
        else:
            text = os.environ.get(self.env, "").strip()
        if not text:
            raise UsageError(
                f"There is no connection string in {self.file or f'the variable {self.env}'}.",
                f"As in: {self.env}=postgresql://user:password@host/database feedplane ...",
            )
        return text


@asynccontextmanager
async def open_database(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Open a database and see it as it is at one moment, without a right to change it."""
    dsn = database.read()
    with translated():
        connection = await _connect(dsn)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            connection.terminate()


async def _connect(dsn: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS + 5,
            server_settings={
                "application_name": "feedplane-cli",
                "timezone": "UTC",
                "statement_timeout": f"{STATEMENT_SECONDS}s",
                "default_transaction_read_only": "on",
                # Compiling a question costs more than it saves in those asked here.
                "jit": "off",
            },
        )
    except ValueError:
        # Its text may hold the connection string.
        raise UsageError("The connection string cannot be read.") from None


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into what the command says about it."""
    try:
        yield
    except (
        asyncpg.UndefinedTableError,
        asyncpg.UndefinedColumnError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.DataError,
    ) as error:
        raise RefusedError(
            f"The database refuses: {hide_secrets(str(error))}",
            "See docs/reference/tables.md, and --schema.",
        ) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        said = hide_secrets(str(error)) or type(error).__name__
        raise UnreachableError(f"The database cannot be used: {said}") from None
