"""The command `feedplane-feeder`: run, check, backfill, venues.

Loads the configuration, starts the process and turns every error into an exit code and a
sentence. Must not know how a feeder works.
"""

import asyncio
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import ExitCode
from feedplane_api.worker import LogFormat, WorkerConfig, parse_worker_config
from feedplane_feeder.endings import explain_ending, write_termination_log
from feedplane_feeder.events import Event
from feedplane_feeder.log import get_log, setup_logging
from feedplane_feeder.settings import read_settings
from feedplane_feeder.transport import Engine

app = typer.Typer(
    name="feedplane-feeder",
    help="One account's connections to a venue, checked and written.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class LogFormatOption(StrEnum):
    """Log formats as the command line spells them."""

    JSON = "json"
    PLAIN = "plain"


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
    """Run a feeder until it is told to stop."""

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

    _guarded(config, log_format, start)


@app.command()
def check(config: ConfigOption, log_format: LogFormatArgument = LogFormatOption.PLAIN) -> None:
    """Say whether a configuration can be used: its fields, its venue, its sinks."""

    def start(loaded: WorkerConfig) -> None:
        from feedplane_feeder.check import check_config, render_findings

        findings = asyncio.run(check_config(loaded))
        render_findings(findings)
        if any(not finding.good for finding in findings):
            raise typer.Exit(ExitCode.FAILURE)

    _guarded(config, log_format, start)


@app.command()
def venues() -> None:
    """List the venues this feeder can reach, with their limits."""
    from feedplane_feeder.check import render_venues

    render_venues()


@app.command()
def backfill() -> None:
    """Fetch history; not in this version."""
    typer.echo(
        "backfill arrives with Backfill support; this version runs live feeds only", err=True
    )
    raise typer.Exit(ExitCode.USAGE)


def load_config(path: Path) -> WorkerConfig:
    """Read a worker configuration from a file.

    Raises:
        InvalidWorkerConfigError: not readable, or not valid.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidWorkerConfigError("(file)", f"cannot be read: {error}") from error
    return parse_worker_config(text)


def main() -> None:
    """Run the command line."""
    app()


def _guarded(
    path: Path, log_format: LogFormatOption | None, start: Callable[[WorkerConfig], None]
) -> None:
    # Every way a feeder can end passes here: exit code, termination message, one log line.
    setup_logging(_format(log_format, LogFormat.JSON), "INFO")
    try:
        loaded = load_config(path)
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
