"""The command `feedplane-feeder`: run, check, backfill, venues.

Loads the configuration, starts the process and turns every error into an exit code and a
sentence. Must not know how a feeder works.
"""

import asyncio
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
import uvloop

from feedplane_api.backfill_worker import BackfillConfig, parse_backfill_config
from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import ExitCode
from feedplane_api.worker import LogFormat, WorkerConfig, parse_worker_config
from feedplane_feeder.endings import explain_ending, write_termination_log
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log, setup_logging
from feedplane_feeder.settings import read_settings
from feedplane_feeder.transport import Engine

C = TypeVar("C", WorkerConfig, BackfillConfig)

app = typer.Typer(
    name="feedplane-feeder",
    help="One account's connections to a venue, checked and written; also backfills, and checks of"
    " what is configured and of what was written.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class LogFormatOption(StrEnum):
    """Log formats as the command line spells them."""

    JSON = "json"
    PLAIN = "plain"


class CheckFormatOption(StrEnum):
    """How the outcome of a check is written."""

    TEXT = "text"
    JSON = "json"
    BACKFILL = "backfill"


ConfigOption = Annotated[Path, typer.Option("--config", help="The worker configuration (YAML).")]
LogFormatArgument = Annotated[
    LogFormatOption | None, typer.Option(help="Instead of the configuration's logFormat.")
]


@app.command()
def run(
    config: ConfigOption,
    log_format: LogFormatArgument = None,
    transport: Annotated[
        Engine, typer.Option(help="The WebSocket library to use.")
    ] = Engine.PICOWS,
    duration: Annotated[
        float | None, typer.Option(help="Stop after so many seconds.", min=0)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No status line on a terminal.")] = False,
) -> None:
    """Run a feeder until it is told to stop: by Ctrl-C, SIGTERM or --duration.

    What was received is written first. The file is watched: what is wanted may change meanwhile.

    Examples:
    - `feedplane-feeder run --config examples/feeder/binance-spot-file.yaml`

    - `feedplane-feeder run --config worker.yaml --duration 60 --quiet`
    """

    def start(loaded: WorkerConfig) -> None:
        # Imported late: `check` and `venues` need none of it, and a wrong file is told at once.
        from feedplane_feeder.run import RunOptions, run_feeder

        get_log("main").info(Event.CONFIG_LOADED, path=str(config), venue=loaded.venue)
        options = RunOptions(
            config_path=config,
            engine=transport,
            duration_seconds=duration,
            print_line=_print_line if _wants_status_line(quiet) else None,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_feeder(loaded, options, read_settings()))

    _guarded(config, log_format, start, parse_worker_config)


@app.command()
def check(config: ConfigOption, log_format: LogFormatArgument = LogFormatOption.PLAIN) -> None:
    """Say whether a configuration can be used: its fields, its venue, its sinks.

    Sinks are opened, which makes their tables; the venue is not asked. Ends with 1 when something
    is wrong, with 78 when the file cannot be used at all.

    Example:
    - `feedplane-feeder check --config worker.yaml`
    """

    def start(loaded: WorkerConfig) -> None:
        from feedplane_feeder.check import check_config, render_findings

        findings = asyncio.run(check_config(loaded))
        render_findings(findings)
        if any(not finding.good for finding in findings):
            raise typer.Exit(ExitCode.FAILURE)

    _guarded(config, log_format, start, parse_worker_config)


@app.command("check-integrity")
def check_integrity(
    config: ConfigOption,
    days: Annotated[int, typer.Option(help="Whole days to look back.", min=1, max=3660)] = 30,
    output: Annotated[
        CheckFormatOption, typer.Option("--format", help="backfill: a configuration to fetch it.")
    ] = CheckFormatOption.TEXT,
    log_format: LogFormatArgument = LogFormatOption.PLAIN,
) -> None:
    """Say which days of the tape lack rows, by calendar; exit code 1 where any do.

    Looks at what `wanted` names, in the first database of the configuration.

    Examples:
    - `feedplane-feeder check-integrity --config worker.yaml --days 30`

    - `feedplane-feeder check-integrity --config worker.yaml --format backfill > fetch.yaml`
    """

    def start(loaded: WorkerConfig) -> None:
        from feedplane_feeder.tape_check_process import CheckFormat, render_check, run_tape_check

        found = asyncio.run(run_tape_check(loaded, days))
        typer.echo(render_check(loaded, found, CheckFormat(output.value)))
        if found.missing:
            raise typer.Exit(ExitCode.FAILURE)

    _guarded(config, log_format, start, parse_worker_config)


@app.command()
def venues() -> None:
    """List the venues this feeder can reach, with their limits.

    `feedplane venues` tells more: history, and how far each is proven.
    """
    from feedplane_feeder.check import render_venues

    render_venues()


@app.command()
def backfill(config: ConfigOption, log_format: LogFormatArgument = None) -> None:
    """Fetch history: one worker's share of a range, then end.

    Started again it goes on where it stopped. JOB_COMPLETION_INDEX says which worker it is, 0 where
    it is not set.

    Example:
    - `feedplane-feeder backfill --config fetch.yaml`
    """

    def start(loaded: BackfillConfig) -> None:
        from feedplane_feeder.backfill_process import run_backfill

        get_log("main").info(Event.CONFIG_LOADED, path=str(config), venue=loaded.venue)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(run_backfill(loaded, read_settings()))
        if not report.ended:
            raise typer.Exit(ExitCode.INTERRUPTED)

    _guarded(config, log_format, start, parse_backfill_config)


def load_config(path: Path, parse: Callable[[str], C]) -> C:
    """Read a configuration from a file.

    Raises:
        InvalidWorkerConfigError: not readable, or not valid.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidWorkerConfigError("(file)", f"cannot be read: {error}") from error
    return parse(text)


def main() -> None:
    """Run the command line."""
    app()


def _guarded(
    path: Path,
    log_format: LogFormatOption | None,
    start: Callable[[C], None],
    parse: Callable[[str], C],
) -> None:
    # Every way a feeder can end passes here: exit code, termination message, one log line.
    setup_logging(_format(log_format, LogFormat.JSON), "INFO")
    try:
        loaded = load_config(path, parse)
        setup_logging(_format(log_format, loaded.log_format), loaded.log_level)
        start(loaded)
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - the one broad except: the process ends here
        ending = explain_ending(error)
        get_log("main").error(
            Event.FEEDER_FAILED, error=ending.error, reason=ending.word, exit_code=ending.code
        )
        write_termination_log(read_settings().termination_log, ending.message)
        raise typer.Exit(ending.code) from None


def _format(chosen: LogFormatOption | None, configured: LogFormat) -> LogFormat:
    if chosen is None:
        return configured
    return LogFormat.JSON if chosen is LogFormatOption.JSON else LogFormat.PLAIN


def _wants_status_line(quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


def _print_line(line: str) -> None:
    typer.echo(line, err=True)


if __name__ == "__main__":
    main()
