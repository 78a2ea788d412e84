"""The budgets of venues' addresses, as rows that everybody with the same database shares.

A change locks its row, so that whoever comes next sees it; the server's clock is everybody's. Must
not know what a budget allows.
"""

import asyncio
from collections.abc import Callable
from dataclasses import astuple, fields
from typing import Final, TypeVar

from feedplane_feeder.core.budget import AddressBudget
from feedplane_feeder.sinks.postgres import PostgresSink
from feedplane_feeder.sinks.postgres_schema import quote_name

LOCK_SECONDS: Final = 2
_COLUMNS: Final = tuple(field.name for field in fields(AddressBudget))
T = TypeVar("T")


class PostgresBudgets(PostgresSink):
    """The rows of one schema; changes of one process take turns."""

    def __init__(self, *arguments: object, **fields: object) -> None:
        super().__init__(*arguments, **fields)  # type: ignore[arg-type]  # those of the sink
        self._turn = asyncio.Lock()
        table = f"{quote_name(self._config.schema_name)}.request_budgets"
        columns = ", ".join(_COLUMNS)
        # The time is read once the row is ours.
        self._read = (
            f"with held as materialized (select {columns} from {table}"  # noqa: S608 - names are ours
            " where address = $1 for update) select held.*,"
            " (extract(epoch from clock_timestamp()) * 1000000)::bigint as now_us from held"
        )
        self._make = f"insert into {table} (address) values ($1) on conflict do nothing"  # noqa: S608
        places = ", ".join(f"{name} = ${place}" for place, name in enumerate(_COLUMNS, 2))
        self._save = f"update {table} set {places}, changed_at = now() where address = $1"  # noqa: S608

    async def change(self, address: str, change: Callable[[AddressBudget, int], T]) -> T:
        """Let `change` work on a budget, alone, at the server's time.

        Raises:
            SinkUnavailableError: not reachable now; nothing was changed.
        """
        async with self._turn:
            try:
                if not self._is_open:
                    await self._begin()
                with self._ours():
                    return await self._change(address, change)
            except BaseException:
                # Also when it was given up in between: what comes next begins anew.
                await self.close()
                raise

    async def _begin(self) -> None:
        await self.open()
        with self._ours():
            # A crash of the server costs a fraction of a second of counting.
            await self._open_connection().execute(
                f"set synchronous_commit = off; set lock_timeout = '{LOCK_SECONDS}s'"
            )

    async def _change(self, address: str, change: Callable[[AddressBudget, int], T]) -> T:
        connection = self._open_connection()
        async with connection.transaction():
            row = await connection.fetchrow(self._read, address)
            if row is None:
                await connection.execute(self._make, address)
                row = await connection.fetchrow(self._read, address)
            assert row is not None  # noqa: S101 - it was made
            budget = AddressBudget(*(row[name] for name in _COLUMNS))
            before = astuple(budget)
            outcome = change(budget, row["now_us"] * 1_000)
            if astuple(budget) != before:
                await connection.execute(self._save, address, *astuple(budget))
        return outcome

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()
