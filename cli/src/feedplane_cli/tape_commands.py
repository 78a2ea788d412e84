"""What the command offers on tapes and venues; the declarations, and nothing of how.

Apart from `__main__` for its length only.
"""

from pathlib import Path
from typing import Annotated

import typer

from feedplane_cli.database import DEFAULT_ENV, Database
from feedplane_cli.errors import ExitStatus
from feedplane_cli.options import alone, in_cluster
from feedplane_cli.place import Place
from feedplane_cli.terminal import Format, Output

DsnEnvOption = Annotated[
    str,
    typer.Option("--dsn-env", metavar="VARIABLE", help="Variable with the connection string."),
]
DsnFileOption = Annotated[
    Path | None, typer.Option("--dsn-file", help="File with the connection string instead.")
]
SchemaOption = Annotated[
    str, typer.Option("--schema", help="Schema of the tape; by default the FeedSource's.")
]
FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="TIME",
        help="As 2026-11-20, 2026-11-20T09:30Z, or 36h for so long ago; by default 7 days.",
    ),
]
ToOption = Annotated[
    str, typer.Option("--to", metavar="TIME", help="Not included; by default now.")
]
InstrumentOption = Annotated[
    list[str] | None,
    typer.Option("--instrument", "-i", metavar="ID", help="As BTCUSDT.VENUE; may be repeated."),
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option("--channel", "-c", help="As trade or bar-1m; may be repeated."),
]


@in_cluster
async def quality(  # noqa: PLR0913, PLR0917 - one parameter per option
    place: Place,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A Subscription; by default what the tape holds, no cluster asked."
        ),
    ] = "",
    start: FromOption = "",
    end: ToOption = "",
    instrument: InstrumentOption = None,
    channel: ChannelOption = None,
    calendar: Annotated[
        str, typer.Option(help="Market code as XNYS; by default the FeedSource's.")
    ] = "",
    schema: SchemaOption = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; by default quality-NAME.")
    ] = None,
    dsn_env: DsnEnvOption = DEFAULT_ENV,
    dsn_file: DsnFileOption = None,
) -> ExitStatus:
    """Tell whether a tape is complete and in time: as JSON, Markdown and one HTML page.

    Bars are counted against the market's sessions, trades by their numbers. More than 20 % missing
    is an ERROR, more than 5 % a WARNING; a bar overdue by more than 10 minutes an ERROR, by more
    than 5 a WARNING. With --from, rows are expected from that moment on; without it the last
    seven days are looked at, each series from its first row on. Ends with 1 when there is an ERROR.

    Examples:
    - `FEEDPLANE_DSN=... feedplane report quality majors -n trading`

    - `feedplane report quality --dsn-file dsn -i BTCUSDT.BINANCE-SPOT --from 2026-11-01`
    """
    from feedplane_cli.quality_command import QualityChoice, report_quality

    choice = QualityChoice(
        name=name,
        start=start,
        end=end,
        instruments=tuple(instrument or ()),
        channels=tuple(channel or ()),
        calendar=calendar,
        schema=schema,
        output=output,
    )
    return await report_quality(place, choice, Database(env=dsn_env, file=dsn_file))


@alone
async def compare(  # noqa: PLR0913, PLR0917 - one parameter per option
    reference: Annotated[
        str, typer.Argument(metavar="TABLE", help="The reference, as `legacy.klines`.")
    ],
    channel: Annotated[
        str, typer.Option("--channel", "-c", help="As trade, quote, metric or bar-1m.")
    ],
    start: FromOption = "",
    end: ToOption = "",
    instrument: InstrumentOption = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="As ts_open=open_time; may be repeated."),
    ] = None,
    suffix: Annotated[
        str, typer.Option(metavar="VENUE", help="Makes ids of the reference's symbols.")
    ] = "",
    tolerance: Annotated[
        str, typer.Option(metavar="PERCENT", help="Of a day's rows that may differ.")
    ] = "0",
    schema: Annotated[str, typer.Option("--schema", help="Schema of the tape.")] = "feedplane",
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Form of the answer.")
    ] = Output.TABLE,
    dsn_env: DsnEnvOption = DEFAULT_ENV,
    dsn_file: DsnFileOption = None,
    reference_dsn_env: Annotated[
        str, typer.Option(metavar="VARIABLE", help="Where the reference is in another database.")
    ] = "",
) -> ExitStatus:
    """Compare a tape with a reference table, by instrument and day.

    Rows are counted and digested by the database; only days that differ are looked at row by row.
    Connection strings come from a variable or a file, never from the command line. Ends with 0 when
    every day agrees within the tolerance, else with 1.

    Examples:
    - `feedplane compare legacy.klines -c bar-1m --from 2026-11-01 --tolerance 0.1`

    - `feedplane compare klines -c bar-1m --column ts_open=open_time --column instrument_id=symbol
      --suffix BINANCE-SPOT`
    """
    from feedplane_cli.compare_command import CompareChoice, compare_tape

    choice = CompareChoice(
        reference=reference,
        channel=channel,
        start=start,
        end=end,
        instruments=tuple(instrument or ()),
        schema=schema,
        names=tuple(column or ()),
        suffix=suffix,
        tolerance=tolerance,
    )
    other = Database(env=reference_dsn_env) if reference_dsn_env else None
    return await compare_tape(choice, Database(env=dsn_env, file=dsn_file), other, output)


@alone
async def venues(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One; by default all.")] = "",
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Form of the answer.")
    ] = Output.TABLE,
) -> ExitStatus:
    """List the venues this release can reach, with limits and how far each is proven.

    Examples:
    - `feedplane venues binance-spot`

    - `feedplane venues -o json | jq '.venues[] | {venue, channels, proof}'`
    """
    from feedplane_cli.venues_command import show_venues

    return await show_venues(name, output)


@in_cluster
async def subscriptions(
    place: Place,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A Subscription; by default all.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="Form of the answer.")] = Format.TABLE,
    audit_log: Annotated[
        Path | None,
        typer.Option(
            "--audit-log",
            envvar="FEEDPLANE_AUDIT_LOG",
            help="File that gets a JSON line for each pair of account and channel.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A feeder's configuration; no cluster asked.")
    ] = None,
    feeder: Annotated[
        list[str] | None,
        typer.Option("--feeder", metavar="URL", help="A feeder's address, with --config."),
    ] = None,
) -> ExitStatus:
    """Hold the should-list against what streams, channel by channel and account by account.

    Ends with 0 when every wanted channel streams on an account that publishes, else with 1.

    Examples:
    - `feedplane check subscriptions -n trading --audit-log checks.jsonl`

    - `feedplane check subscriptions majors --format csv > majors.csv`

    - `feedplane check subscriptions --config worker.yaml --feeder http://127.0.0.1:8000`
    """
    from feedplane_cli.check_command import CheckChoice, check_subscriptions

    choice = CheckChoice(name=name, config=config, feeders=tuple(feeder or ()), audit_log=audit_log)
    return await check_subscriptions(place, choice, form)
