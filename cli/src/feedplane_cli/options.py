"""How a command is made: the options all commands share, and one way for each to end.

A command is an async function whose first parameter is the Place; its `--namespace`, `--context`
and `--kubeconfig` are put in here, and so are exit codes and messages of errors.
"""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from feedplane_cli.errors import CliError, ExitStatus
from feedplane_cli.place import Place
from feedplane_cli.terminal import complain

P = ParamSpec("P")
Command = Callable[Concatenate[Place, P], Coroutine[Any, Any, ExitStatus]]

NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace; by default that of the context.")
]
ContextOption = Annotated[str, typer.Option("--context", help="Context of the kubeconfig.")]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig, before KUBECONFIG and ~/.kube.")
]
_SHARED = (
    inspect.Parameter(
        "namespace", inspect.Parameter.KEYWORD_ONLY, annotation=NamespaceOption, default=""
    ),
    inspect.Parameter(
        "context", inspect.Parameter.KEYWORD_ONLY, annotation=ContextOption, default=""
    ),
    inspect.Parameter(
        "kubeconfig", inspect.Parameter.KEYWORD_ONLY, annotation=KubeconfigOption, default=None
    ),
)


def in_cluster(command: Command[P]) -> Callable[..., None]:
    """Turn a command into a function that typer can call."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        place = Place(**{one.name: kwargs.pop(one.name) for one in _SHARED})  # type: ignore[arg-type]
        raise typer.Exit(finish(command(place, *args, **kwargs)))

    signature = inspect.signature(command, eval_str=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(signature.parameters.values())[1:]
    ]
    parameters = [*own, *_SHARED]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=None
    )
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run


def alone(command: Callable[P, Coroutine[Any, Any, ExitStatus]]) -> Callable[P, None]:
    """Turn a command that asks no cluster into a function that typer can call."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(finish(command(*args, **kwargs)))

    return run


def finish(work: Coroutine[Any, Any, ExitStatus]) -> ExitStatus:
    """Run to the end, and say what went wrong."""
    try:
        return asyncio.run(work)
    except CliError as error:
        return _complain(error)
    except BrokenPipeError:
        # Whoever read our lines has seen enough.
        return ExitStatus.HEALTHY
    except BaseExceptionGroup as group:
        if group.subgroup(BrokenPipeError) is not None:
            return ExitStatus.HEALTHY
        ours, others = group.split(CliError)
        if ours is None or others is not None:
            raise
        return _complain(_first(ours))
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED


def _complain(error: CliError) -> ExitStatus:
    complain(error.message, error.advice)
    return error.status


def _first(group: BaseExceptionGroup[CliError]) -> CliError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
