"""A cluster with everything in it, by one call: a context a person names, or a kind cluster."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from feedplane_cluster import versions
from feedplane_cluster.cache import Cache, default_cache
from feedplane_cluster.docker import Docker
from feedplane_cluster.errors import ClusterError
from feedplane_cluster.kind import KindCluster
from feedplane_cluster.locales import compile_locale
from feedplane_cluster.node_image import node_image
from feedplane_cluster.process import run
from feedplane_cluster.product_images import (
    DEVELOPMENT_TAG,
    PRODUCTS,
    ProductImages,
    find_workspace,
)
from feedplane_cluster.progress import note, step
from feedplane_cluster.rootfs import install_assembly_programs
from feedplane_cluster.service_images import python_image, timescale_image
from feedplane_cluster.toolchain import Toolchain

DEFAULT_NAME = "feedplane"
REGISTRY_VARIABLE = "FEEDPLANE_REGISTRY"
"""Where to push the product's images for a cluster that is not ours."""

DATABASE = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCluster:
    """A cluster that is ready, and how to reach it."""

    kubeconfig: Path
    images: Mapping[str, str]
    """What to install: operator, feeder, simulator, database -> repository:tag."""
    nodes: tuple[str, ...] = field(default=())
    """The names of the nodes' containers; none where the cluster is not ours."""


def up(
    cache: Cache | None = None,
    *,
    name: str = DEFAULT_NAME,
    nodes: int = 1,
    context: str | None = None,
) -> LocalCluster:
    """Bring a cluster up with the product's images in it; what is there already is kept.

    Raises: ClusterError saying what to install where a cluster cannot be had.
    """
    cache = cache or default_cache()
    if context:
        return use_context(cache, context)
    docker = Docker(cache)
    docker.ensure()
    toolchain = Toolchain(cache)
    pullable = docker.registry()
    if not pullable:
        install_assembly_programs()
    cluster = KindCluster(cache, docker, toolchain, name)

    def create() -> None:
        toolchain.bin_folder()
        cluster.ensure(node_image(cache, docker, toolchain, pullable=pullable), nodes)

    # The node image waits on a compiler, the other images mostly on the network.
    with ThreadPoolExecutor(max_workers=2) as pool:
        creating = pool.submit(create)
        making = pool.submit(make_images, cache, docker, pullable=pullable)
        images = making.result()
        creating.result()
    cluster.load(list(images.values()))
    for product in PRODUCTS:
        cluster.alias(images[part(product.image)], f"{product.image}:{DEVELOPMENT_TAG}")
    return LocalCluster(
        kubeconfig=cluster.kubeconfig,
        images=images,
        nodes=tuple(node.name for node in cluster.nodes()),
    )


def down(cache: Cache | None = None, *, name: str = DEFAULT_NAME) -> None:
    """Remove a cluster of ours; nothing happens where it does not exist."""
    cache = cache or default_cache()
    docker = Docker(cache)
    if docker.answers():
        KindCluster(cache, docker, Toolchain(cache), name).delete()


def make_images(cache: Cache, docker: Docker, *, pullable: bool) -> dict[str, str]:
    """Make sure that the engine has the product's images and the database's: part -> tag."""
    base = python_image(cache, docker, pullable=pullable)
    products = ProductImages(docker, find_workspace(Path.cwd()), base, compile_locale(cache))
    images = {part(product.image): products.build(product) for product in PRODUCTS}
    return {**images, DATABASE: timescale_image(cache, docker, pullable=pullable)}


def part(image: str) -> str:
    """Return the last word of an image's name: the part of the product it holds."""
    return image.rpartition("/")[2]


def use_context(cache: Cache, context: str) -> LocalCluster:
    """Use the cluster behind a context of the person's own kubeconfig.

    The images have to come from a registry it can pull from: FEEDPLANE_REGISTRY names one to push
    to.
    """
    toolchain = Toolchain(cache)
    kubectl = toolchain.kubectl()
    text = run(*(kubectl, "config", "view", "--raw", "--minify", "--flatten", "--context", context))
    kubeconfig = cache.folder("contexts") / context.replace("/", "_")
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(text)
    with step(f"Looking at context {context}"):
        run(kubectl, "--kubeconfig", kubeconfig, "get", "--raw", "/readyz", timeout_seconds=30)
    registry = os.environ.get(REGISTRY_VARIABLE)
    if not registry:
        note(f"set {REGISTRY_VARIABLE} to push images; the cluster must have them already")
        products = {part(each.image): f"{each.image}:{DEVELOPMENT_TAG}" for each in PRODUCTS}
        images = {**products, DATABASE: versions.TIMESCALE_IMAGE}
        return LocalCluster(kubeconfig=kubeconfig, images=images)
    return LocalCluster(kubeconfig=kubeconfig, images=push_images(cache, registry))


def push_images(cache: Cache, registry: str) -> dict[str, str]:
    """Build the product's images and push them to a registry."""
    docker = Docker(cache)
    if not docker.answers():
        raise ClusterError("No Docker engine answers; it is needed to build and push the images")
    images = make_images(cache, docker, pullable=docker.registry())
    return {
        name: tag if name == DATABASE else push_image(docker, registry, tag)
        for name, tag in images.items()
    }


def push_image(docker: Docker, registry: str, tag: str) -> str:
    """Push an image of the engine to a registry, and return its name there."""
    pushed = f"{registry.rstrip('/')}/{tag}"
    with step(f"Pushing {pushed}"):
        docker.run("tag", tag, pushed)
        docker.run("push", "--quiet", pushed)
    return pushed
