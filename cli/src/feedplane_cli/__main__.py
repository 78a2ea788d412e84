"""The command `feedplane`, also `kubectl feedplane`: what it offers, and nothing of how.

Options and help texts live here; each command's work is in a module of its own, imported when it
is called: help and completion in a shell have to be quick.
"""

from pathlib import Path
from typing import Annotated

import typer

from feedplane_cli.default_group import DefaultGroup
from feedplane_cli.errors import ExitStatus, UsageError
from feedplane_cli.options import in_cluster
from feedplane_cli.place import Place
from feedplane_cli.tape_commands import compare, quality, subscriptions, venues
from feedplane_cli.terminal import Output

app = typer.Typer(
    name="feedplane",
    help="See and steer Feedplane's market-data feeds. Also a plugin: `kubectl feedplane`."
    " Exit codes: 0 done and well, 1 something is not well, 2 to 7 it could not be done.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
reports = typer.Typer(
    cls=DefaultGroup,
    help="Write a report: a support bundle to send to somebody, or on the quality of a tape."
    " `report [NAME]` is `report bundle [NAME]`.\n\n"
    "Examples:\n- `feedplane report spot`\n\n- `feedplane report quality majors --from 24h`",
    rich_markup_mode="markdown",
)
app.add_typer(reports, name="report")
checks = typer.Typer(
    help="Hold what is against what should be.\n\n"
    "Examples:\n- `feedplane check subscriptions`\n\n- `feedplane check subscriptions majors`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(checks, name="check")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A FeedSource.")]
OPERATOR_NAMESPACE = "feedplane-system"
OperatorNamespaceOption = Annotated[
    str, typer.Option("--operator-namespace", help="Namespace of the operator.")
]
TargetArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A FeedSource, or `backfill/NAME`.")
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait at most.")]


@app.command()
@in_cluster
async def status(
    place: Place,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A FeedSource; by default all.")] = "",
    everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Look in every namespace.")
    ] = False,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Form of the answer.")
    ] = Output.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.2, help="Seconds between two looks with --watch.")
    ] = 2.0,
) -> ExitStatus:
    """Show who is active and why, what is covered and what is missing.

    Ends with 0 when each FeedSource shown is ready or paused, and with 1 when one is not.

    Examples:
    - `feedplane status` - the FeedSources of the context's namespace

    - `feedplane status spot -n trading --watch` - one, live

    - `feedplane status -A -o json | jq '.feedSources[] | {name, activeAccount, gaps}'`
    """
    from feedplane_cli.status_command import show_status

    return await show_status(
        place, name, output, everywhere=everywhere, watch_seconds=interval if watch else None
    )


@app.command()
@in_cluster
async def switchover(
    place: Place,
    name: NameArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="ACCOUNT", help="The account that shall be active.")
    ] = "",
    clear: Annotated[
        bool, typer.Option("--clear", help="Leave the choice to failover again.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Though it is unhealthy, in maintenance or paused.")
    ] = False,
    wait: WaitOption = True,
    patience: TimeoutOption = 60.0,
) -> ExitStatus:
    """Make another account active, without losing a tick, and wait until it is.

    The account stays active until you choose anew, unless it gets unhealthy. Written is
    `spec.activeAccount`; the feeders hand over among themselves.

    Examples:
    - `feedplane switchover spot --to backup` - and say how long it took

    - `feedplane switchover spot --clear` - leave the choice to failover again
    """
    from feedplane_cli.switch_commands import clear_choice, switch_over

    if bool(to) == clear:
        raise UsageError(
            "Say either --to ACCOUNT or --clear.", f"As in: feedplane switchover {name} --to backup"
        )
    if clear:
        return await clear_choice(place, name)
    return await switch_over(place, name, to, force=force, wait_seconds=patience if wait else None)


@app.command()
@in_cluster
async def pause(place: Place, target: TargetArgument) -> ExitStatus:
    """Stop the feeders of a FeedSource, or the workers of a Backfill.

    Everything else stays: the objects, the rows, the ledger. What a paused feed misses is named
    in the ledger.

    Examples:
    - `feedplane pause spot`

    - `feedplane pause backfill/october`
    """
    from feedplane_api.feed_source import FeedState
    from feedplane_cli.switch_commands import set_state

    return await set_state(place, target, FeedState.PAUSED)


@app.command()
@in_cluster
async def resume(place: Place, target: TargetArgument) -> ExitStatus:
    """Start again what was paused.

    Examples:
    - `feedplane resume spot`

    - `feedplane resume backfill/october`
    """
    from feedplane_api.feed_source import FeedState
    from feedplane_cli.switch_commands import set_state

    return await set_state(place, target, FeedState.RUNNING)


@app.command()
@in_cluster
async def maintenance(
    place: Place,
    name: NameArgument,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="One of its accounts.")],
    out: Annotated[
        bool | None, typer.Option("--on/--off", help="Take it out of service, or put it back.")
    ] = None,
    wait: WaitOption = True,
    patience: TimeoutOption = 60.0,
) -> ExitStatus:
    """Take one account out of service, or put it back.

    An account in maintenance hands its place over, its feeders stop and it is logged out, so
    that its password can be changed or somebody else can use it.

    Examples:
    - `feedplane maintenance spot main --on`

    - `feedplane maintenance spot main --off`
    """
    from feedplane_cli.switch_commands import set_maintenance

    if out is None:
        raise UsageError("Say either --on or --off.")
    return await set_maintenance(
        place, name, account, out=out, wait_seconds=patience if wait else None
    )


@app.command()
@in_cluster
async def logs(  # noqa: PLR0913, PLR0917 - one parameter per option
    place: Place,
    name: NameArgument,
    account: Annotated[str, typer.Option("--account", "-a", help="Of one account only.")] = "",
    shard: Annotated[int | None, typer.Option(min=0, help="Of one shard only.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    since: Annotated[str, typer.Option(metavar="DURATION", help="As 90s, 15m, 2h.")] = "",
    tail: Annotated[int | None, typer.Option(min=0, help="So many lines of each feeder.")] = None,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the container before the last restart.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="JSON lines as they are, for jq.")] = False,
) -> ExitStatus:
    """Show the log lines of a FeedSource's feeders, in one stream.

    Each line begins with the account and shard it comes from. What looks like a credential is
    blanked, but for --raw. What each event means: docs/reference/events.md.

    Examples:
    - `feedplane logs spot --follow` - all of its feeders, new ones too

    - `feedplane logs spot --account backup --since 15m`

    - `feedplane logs spot --raw | jq 'select(.msg == "gap.detected")'`
    """
    from feedplane_cli.logs_command import LogChoice, show_logs

    choice = LogChoice(
        account=account,
        shard=shard,
        follow=follow,
        previous=previous,
        since=since,
        tail=tail,
        raw=raw,
    )
    return await show_logs(place, name, choice)


@reports.command("bundle")
@in_cluster
async def report(
    place: Place,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A FeedSource; by default all of the namespace.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File, .tar.gz or .zip; by default named after NAME and the time.",
        ),
    ] = None,
    tail: Annotated[int, typer.Option(min=0, help="Lines of each log.")] = 2_000,
    operator_namespace: OperatorNamespaceOption = OPERATOR_NAMESPACE,
) -> ExitStatus:
    """Write a support bundle: objects, statuses, events, logs and figures, no credentials.

    Secrets are never read, and what looks like a credential is blanked. `manifest.json` says
    what is in it and what could not be had. Feeders are asked through the API server's Pod proxy,
    for that needs a right to read only; where a NetworkPolicy stops it, their part is left out.

    Examples:
    - `feedplane report spot` - a file named after it and the time

    - `feedplane report -n trading -o trading.zip` - all FeedSources of a namespace
    """
    from feedplane_cli.collecting import ReportChoice
    from feedplane_cli.report_command import write_report

    choice = ReportChoice(name=name, operator_namespace=operator_namespace, tail=tail)
    return await write_report(place, choice, output)


@app.command()
@in_cluster
async def version(
    place: Place,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON document.")] = False,
    operator_namespace: OperatorNamespaceOption = OPERATOR_NAMESPACE,
) -> ExitStatus:
    """Show the versions of the command, the API server, the operator and the feeders.

    Examples:
    - `feedplane version --operator-namespace feedplane-system`

    - `feedplane version --json | jq .feeders`
    """
    from feedplane_cli.version_command import show_versions

    return await show_versions(place, operator_namespace, as_json=as_json)


reports.command("quality")(quality)
checks.command("subscriptions")(subscriptions)
app.command("compare")(compare)
app.command("venues")(venues)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
