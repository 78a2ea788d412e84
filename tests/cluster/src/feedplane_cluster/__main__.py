"""The command `feedplane-cluster`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from feedplane_cluster import demo
from feedplane_cluster.cache import default_cache
from feedplane_cluster.docker import Docker, engine_summary
from feedplane_cluster.errors import ClusterError, CommandError
from feedplane_cluster.kind import KindCluster
from feedplane_cluster.local_cluster import DEFAULT_NAME, down, make_images, up
from feedplane_cluster.progress import console
from feedplane_cluster.toolchain import Toolchain

app = typer.Typer(
    help="A real local Kubernetes cluster for Feedplane, with or without an image registry.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
# What another program may read goes to standard output; progress does not.
screen = Console(highlight=False, soft_wrap=True)

Name = Annotated[str, typer.Option(help="The cluster's name.")]


def cluster_named(name: str) -> KindCluster:
    """Return the kind cluster of that name, which need not exist."""
    cache = default_cache()
    return KindCluster(cache, Docker(cache), Toolchain(cache), name)


@app.command("up")
def up_command(
    *,
    name: Name = DEFAULT_NAME,
    nodes: Annotated[int, typer.Option(min=1, max=9, help="How many nodes it has.")] = 1,
    context: Annotated[
        str | None,
        typer.Option(envvar="FEEDPLANE_CONTEXT", help="Use this context of your kubeconfig."),
    ] = None,
) -> None:
    """Bring a cluster up with Feedplane's images in it; can be run again at any time.

    With --context it is yours that is used, and FEEDPLANE_REGISTRY says where to push the images.

    Examples:
    - `feedplane-cluster up --nodes 2`

    - `FEEDPLANE_REGISTRY=registry.example/team feedplane-cluster up --context staging`
    """
    cluster = up(name=name, nodes=nodes, context=context)
    screen.print(f"The cluster is ready: export KUBECONFIG={cluster.kubeconfig}")


@app.command("down")
def down_command(
    *,
    name: Name = DEFAULT_NAME,
    engine: Annotated[
        bool, typer.Option("--engine", help="Stop the Docker engine too, if it is ours.")
    ] = False,
) -> None:
    """Remove a cluster. What was built stays in the cache."""
    down(name=name)
    if engine:
        Docker(default_cache()).stop()


@app.command()
def status() -> None:
    """Say what runs and what the cache holds."""
    cache = default_cache()
    docker = Docker(cache)
    table = Table("what", "state", show_header=False, box=None)
    for what, state in engine_summary(docker).items():
        table.add_row(what, str(state))
    for folder in sorted(cache.folder("clusters").iterdir()):
        if docker.answers() and (nodes := cluster_named(folder.name).nodes()):
            states = [f"{node.name} {'runs' if node.running else 'stopped'}" for node in nodes]
            table.add_row(f"cluster {folder.name}", ", ".join(states))
    table.add_row("cache", str(cache.root))
    screen.print(table)


@app.command()
def env(*, name: Name = DEFAULT_NAME) -> None:
    """Print what a shell needs: `eval "$(feedplane-cluster env)"`."""
    programs = Toolchain(default_cache()).bin_folder()
    screen.print(f'export PATH="{programs}:$PATH"')
    screen.print(f'export KUBECONFIG="{cluster_named(name).kubeconfig}"')


@app.command()
def kubeconfig(*, name: Name = DEFAULT_NAME) -> None:
    """Print the kubeconfig's path."""
    screen.print(str(existing(cluster_named(name).kubeconfig)))


@app.command()
def images() -> None:
    """Build the images and print their tags; each of ours is tagged `dev` besides."""
    cache = default_cache()
    docker = Docker(cache)
    docker.ensure()
    for part, tag in make_images(cache, docker, pullable=docker.registry()).items():
        screen.print(f"{part} {tag}")


def existing(path: Path) -> Path:
    """Return the path of a file that is there.

    Raises: ClusterError telling how to make it.
    """
    if not path.exists():
        raise ClusterError("There is no such cluster; make it with `feedplane-cluster up`")
    return path


demo.register(app)


def main() -> None:
    """Run the command; what went wrong is told in words, without a traceback."""
    try:
        app()
    except (ClusterError, CommandError) as error:
        console.print(f"[red]Error:[/] {error}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
