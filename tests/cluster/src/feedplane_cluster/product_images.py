"""The product's own images, named by the content they are built from."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feedplane_cluster.cache import files_digest, recipe_key
from feedplane_cluster.docker import Docker
from feedplane_cluster.errors import MissingToolError
from feedplane_cluster.locales import FOLDER
from feedplane_cluster.process import run
from feedplane_cluster.progress import step
from feedplane_cluster.service_images import compile_python

DEVELOPMENT_TAG = "dev"
DEPENDENCIES = "dependencies"
PACKAGES = "packages"
APP = Path("/app")


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A workspace member that ships as an image."""

    image: str
    member: str
    folder: str
    localized: bool = False
    """Whether it needs the locale that `compile_locale` makes."""

    @property
    def dockerfile(self) -> str:
        """The Dockerfile's place in the workspace."""
        return f"{self.folder}/Dockerfile"


PRODUCTS = (
    Product(image="feedplane/operator", member="feedplane-operator", folder="operator"),
    Product(image="feedplane/feeder", member="feedplane-feeder", folder="feeder", localized=True),
    Product(image="feedplane/simulator", member="feedplane-simulator", folder="tests/simulator"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What the lock file says about one member."""

    folders: tuple[str, ...]
    """The workspace members it is made of, itself included."""
    requirements: str
    """The third parties, each with its hashes."""


class ProductImages:
    """Builds the product's images over one base image."""

    def __init__(
        self, docker: Docker, workspace: Path, base_image: str, locale: Path | None = None
    ) -> None:
        self._docker = docker
        self._workspace = workspace
        self._base_image = base_image
        self._locale = locale
        uv = shutil.which("uv") or os.environ.get("UV")
        if uv is None:
            raise MissingToolError(
                "uv is not installed", "Install uv: the images are made from its lock"
            )
        self._uv = uv

    def build(self, product: Product) -> str:
        """Make sure that the engine has a product's image, and return its tag."""
        lock = self._lock(product)
        tag = f"{product.image}:{self._content(product, lock)}"
        if self._docker.image_id(tag) is None:
            base = self._dependencies_image(product, lock)
            with step(f"Building the image {tag}"), tempfile.TemporaryDirectory() as folder:
                context = Path(folder)
                (context / DEPENDENCIES).mkdir()  # they are in the base already
                self._pack(context, lock)
                self._docker_build(product, tag, context, base)
        self._docker.run("tag", tag, f"{product.image}:{DEVELOPMENT_TAG}")
        return tag

    def _dependencies_image(self, product: Product, lock: Lock) -> str:
        # The engine reads a whole build context each time, and the third parties are nearly all
        # of it; so they get an image of their own, which our own changes then build on.
        recipe = {
            "base": self._docker.image_id(self._base_image),
            "dockerfile": (self._workspace / product.dockerfile).read_text(),
            "requirements": lock.requirements,
            "locale": product.localized and self._locale is not None,
        }
        tag = f"local/{product.member}-dependencies:{recipe_key(recipe)}"
        if self._docker.image_id(tag) is None:
            with tempfile.TemporaryDirectory() as folder:
                context = Path(folder)
                self._install(context / DEPENDENCIES, lock.requirements)
                if product.localized and self._locale is not None:
                    shutil.copytree(self._locale, context / DEPENDENCIES / FOLDER)
                (context / PACKAGES).mkdir()
                with step(f"Building the image {tag}"):
                    self._docker_build(product, tag, context, self._base_image)
        return tag

    def _docker_build(self, product: Product, tag: str, context: Path, base: str) -> None:
        dockerfile = self._workspace / product.dockerfile
        self._docker.build(tag, context, dockerfile, "--build-arg", f"BASE_IMAGE={base}")

    def _lock(self, product: Product) -> Lock:
        command = (self._uv, "export", "--quiet", "--frozen", "--no-dev", "--no-header")
        text = run(*command, "--package", product.member, cwd=self._workspace)
        return parse_export(text)

    def _content(self, product: Product, lock: Lock) -> str:
        return recipe_key(
            {
                "base": self._docker.image_id(self._base_image),
                "dockerfile": (self._workspace / product.dockerfile).read_text(),
                "requirements": lock.requirements,
                "sources": files_digest(
                    self._workspace, source_files(self._workspace, lock.folders)
                ),
            }
        )

    def _pack(self, context: Path, lock: Lock) -> None:
        wheels = context / "wheels"
        for folder in lock.folders:
            run(self._uv, "build", "--quiet", "--wheel", self._workspace / folder, "-o", wheels)
        target = context / PACKAGES
        built = sorted(wheels.glob("*.whl"))
        run(self._uv, "pip", "install", "--quiet", "--no-deps", *self._target(target), *built)
        shutil.rmtree(wheels)
        compile_python(target, strip=context, prefix=str(APP))

    def _install(self, target: Path, requirements: str) -> None:
        listing = target.parent / "requirements.txt"
        listing.write_text(requirements)
        with step("Collecting the locked dependencies"):
            run(
                *(self._uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
                *("--only-binary", ":all:", *self._target(target), "-r", listing),
            )
            # Scripts name the interpreter of this machine, and nobody runs the tests of others.
            shutil.rmtree(target / "bin", ignore_errors=True)
            for tests in [*target.glob("numpy/**/tests"), *target.glob("kubernetes/**/test")]:
                shutil.rmtree(tests)
            compile_python(target, strip=target.parent, prefix=str(APP))

    def _target(self, folder: Path) -> Sequence[str | Path]:
        machine = "aarch64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        image = ("--python-version", "3.11", "--python-platform", f"{machine}-manylinux_2_36")
        return ("--python", sys.executable, *image, "--link-mode", "copy", "--target", folder)


def parse_export(text: str) -> Lock:
    """Split an exported lock into our own members and the third parties."""
    folders = []
    requirements = []
    for line in text.splitlines():
        if line.startswith("-e "):
            folders.append(line.removeprefix("-e ").strip().removeprefix("./"))
        elif line.strip() and not line.lstrip().startswith("#"):
            requirements.append(line)
    return Lock(folders=tuple(folders), requirements="\n".join(requirements) + "\n")


def source_files(workspace: Path, folders: Sequence[str]) -> list[Path]:
    """List the files the members' wheels are built from."""
    found = []
    for folder in folders:
        found.append(workspace / folder / "pyproject.toml")
        found += [
            path
            for path in (workspace / folder / "src").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
    return found


def find_workspace(start: Path) -> Path:
    """Return the repository's root at or above a folder.

    Raises: MissingToolError when there is none.
    """
    for folder in (start, *start.parents):
        if (folder / "uv.lock").exists() and (folder / "charts").is_dir():
            return folder
    raise MissingToolError(f"No Feedplane workspace at {start}", "Run this inside the repository")
