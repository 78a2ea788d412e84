"""Images by tag: the engine's, a registry's, the cache's, or made here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from feedplane_cluster.cache import Cache, recipe_key
from feedplane_cluster.docker import Docker
from feedplane_cluster.errors import CommandError
from feedplane_cluster.process import pipe, run
from feedplane_cluster.progress import step

RECIPE_LABEL = "dev.feedplane.recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an image is made here, where no registry has it."""

    tag: str
    inputs: Mapping[str, object]
    """Everything the image's content follows from; names the cache entry."""
    make: Callable[[Path, str], None]
    """Builds the image into the engine, with this label (`key=value`), using this empty folder."""

    @property
    def key(self) -> str:
        return recipe_key({"tag": self.tag, **self.inputs})


def provide(cache: Cache, docker: Docker, recipe: Recipe) -> None:
    """Make sure that the engine has the image of this recipe under its tag."""
    if label(docker, recipe.tag) == recipe.key:
        return

    def build(entry: Path) -> None:
        work = entry / "work"
        work.mkdir()
        with step(f"Building the image {recipe.tag}"):
            recipe.make(work, f"{RECIPE_LABEL}={recipe.key}")
        run("rm", "-rf", work)
        save(recipe.tag, entry / "image.tar.zst")

    entry = cache.entry(
        f"image-{recipe.tag.replace('/', '-').replace(':', '-')}", recipe.inputs, build
    )
    if label(docker, recipe.tag) != recipe.key:
        with step(f"Loading the image {recipe.tag}"):
            load(entry / "image.tar.zst")


def label(docker: Docker, tag: str) -> str | None:
    """Return the key of the recipe an image in the engine was made from, or None."""
    try:
        return docker.run(
            "image", "inspect", "--format", f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}', tag
        ).strip()
    except CommandError:
        return None


def save(tag: str, archive: Path) -> None:
    """Write an image from the engine to a compressed archive."""
    pipe(("docker", "save", tag), ("zstd", "-q", "-3", "-T0", "-o", archive))


def load(archive: Path) -> None:
    """Read an image from a compressed archive into the engine."""
    pipe(("zstd", "-qdc", archive), ("docker", "load", "--quiet"))
