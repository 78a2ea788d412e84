import inspect
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from feedplane_cli.errors import CliError, ExitStatus, ForbiddenError, NotFoundError
from feedplane_cli.options import finish, in_cluster
from feedplane_cli.place import Place

SEEN: list[tuple[Place, str]] = []


@in_cluster
async def command(
    place: Place, name: Annotated[str, typer.Argument(metavar="NAME")], loud: bool = False
) -> ExitStatus:
    """Do something."""
    SEEN.append((place, name))
    return ExitStatus.NOT_READY if loud else ExitStatus.HEALTHY


async def fail(error: BaseException) -> ExitStatus:
    raise error


def test_command_gets_its_place_from_the_shared_options() -> None:
    app = typer.Typer()
    app.command()(command)
    line = ["spot", "-n", "trading", "--context", "x", "--loud"]
    assert CliRunner().invoke(app, line).exit_code == ExitStatus.NOT_READY
    assert SEEN.pop() == (Place(namespace="trading", context="x"), "spot")


def test_shared_options_come_last_in_the_help() -> None:
    assert list(inspect.signature(command).parameters) == [
        "name",
        "loud",
        "namespace",
        "context",
        "kubeconfig",
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("gone", "look"), ExitStatus.NOT_FOUND),
        (ExceptionGroup("x", [ExceptionGroup("y", [ForbiddenError("no")])]), ExitStatus.FORBIDDEN),
        (KeyboardInterrupt(), ExitStatus.INTERRUPTED),
        (BrokenPipeError(), ExitStatus.HEALTHY),
        (ExceptionGroup("x", [BrokenPipeError()]), ExitStatus.HEALTHY),
    ],
    ids=["error", "group", "interrupt", "pipe", "pipe in a group"],
)
def test_each_end_has_its_exit_code(error: BaseException, status: ExitStatus) -> None:
    assert finish(fail(error)) is status


@pytest.mark.parametrize(
    "error",
    [ValueError("bug"), ExceptionGroup("x", [CliError("ours"), ValueError("bug")])],
    ids=["alone", "among ours"],
)
def test_bug_of_our_own_is_never_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        finish(fail(error))


def test_advice_follows_the_message_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finish(fail(NotFoundError("There is no x.", "Make one.")))
    assert capsys.readouterr().err == "Error: There is no x.\nMake one.\n"
