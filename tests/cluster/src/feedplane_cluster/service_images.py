"""The images of what the product stands on and talks to: Python, and TimescaleDB."""

import shutil
import sys
from pathlib import Path

from feedplane_cluster import versions
from feedplane_cluster.cache import Cache, recipe_text
from feedplane_cluster.docker import Docker
from feedplane_cluster.images import Recipe, provide
from feedplane_cluster.process import pipe, run
from feedplane_cluster.rootfs import debian_packages, debian_root, import_image

PYTHON_REQUIRES = ("python3-minimal", "libpython3-stdlib", "ca-certificates", "tzdata")
PYTHON_UNPACKS = (
    *("base-files", "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libssl3", "libexpat1"),
    *("libffi8", "liblzma5", "libbz2-1.0", "libsqlite3-0", "libuuid1", "libcrypt1", "libtirpc3"),
    *("libnsl2", "libtinfo6", "libncursesw6", "libreadline8", "libdb5.3", "media-types"),
    *("python3-minimal", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    *("ca-certificates", "tzdata"),
)
"""No shell, no package manager: what Python needs and nothing else."""

PYTHON_ENVIRONMENT = (
    "ENV PATH=/usr/local/bin:/usr/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
)
USER = "65532"
PASSWD = "root:x:0:0::/:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n"  # noqa: S105
GROUP = "root:x:0:\nnonroot:x:65532:\n"

TIMESCALE_PACKAGES = ("postgresql-17", "postgresql-17-timescaledb", "gosu", "ca-certificates")
TIMESCALE_DROPS = (
    # The JIT compiler is more than half of the whole; short statements do not use it.
    *("usr/lib/*/libLLVM*", "usr/lib/*/libz3*", "usr/lib/llvm*"),
    *("usr/lib/postgresql/17/lib/llvmjit.so", "usr/lib/postgresql/17/lib/bitcode"),
    *("var/lib/postgresql/17", "etc/postgresql"),
)
TIMESCALE_SETTINGS = """
listen_addresses = '*'
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
unix_socket_directories = '/var/run/postgresql'
"""
POSTGRES_ID = "70"
"""The user's number in the public image: one securityContext fits both."""


def python_image(cache: Cache, docker: Docker, *, pullable: bool) -> str:
    """Make sure that the engine has the product images' base, and return its name."""
    if pullable and (
        docker.image_id(versions.STOCK_PYTHON_IMAGE) or docker.pull(versions.STOCK_PYTHON_IMAGE)
    ):
        return versions.STOCK_PYTHON_IMAGE
    recipe = Recipe(
        tag=versions.LOCAL_PYTHON_IMAGE,
        inputs={
            "packages": [*PYTHON_REQUIRES, *PYTHON_UNPACKS],
            "files": [PASSWD, GROUP, PYTHON_ENVIRONMENT],
            "suite": "bookworm",
        },
        make=lambda work, label: make_python_image(cache, work, label),
    )
    provide(cache, docker, recipe)
    return recipe.tag


def make_python_image(cache: Cache, work: Path, label: str) -> None:
    """Unpack Python's packages, without running their installation, as an image."""
    archives = debian_packages(cache, "bookworm", PYTHON_REQUIRES)
    root = work / "root"
    for name in ("usr/lib", "usr/lib64", "usr/bin", "usr/sbin", "tmp", "etc", "var"):
        (root / name).mkdir(parents=True)
    for name in ("lib", "lib64", "bin", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    for package in PYTHON_UNPACKS:
        (archive,) = archives.glob(f"{package}_*.deb")
        pipe(
            ("dpkg-deb", "--fsys-tarfile", archive),
            ("tar", "-C", root, "--keep-directory-symlink", "-xp"),
        )
    write_system_files(root)
    for documents in ("doc", "man", "locale", "lintian"):
        shutil.rmtree(root / "usr/share" / documents, ignore_errors=True)
    compile_python(root / "usr/lib/python3.11", strip=root)
    import_image(
        root,
        versions.LOCAL_PYTHON_IMAGE,
        PYTHON_ENVIRONMENT,
        *(f"USER {USER}:{USER}", f"LABEL {label}"),
    )


def write_system_files(root: Path) -> None:
    """Write what the packages' installation would have written."""
    certificates = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(certificate.read_text() for certificate in certificates))
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "usr/bin/python").symlink_to("python3")
    (root / "tmp").chmod(0o1777)


def compile_python(folder: Path, *, strip: Path, prefix: str = "/") -> None:
    """Compile a folder for the image's interpreter, valid whatever the files' times.

    Imports take a third of the time with it; only the same minor version can do it.
    """
    if sys.version_info[:2] != (3, 11):
        return
    run(
        *(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", strip, "-p", prefix, folder),
    )


def timescale_image(cache: Cache, docker: Docker, *, pullable: bool) -> str:
    """Make sure that the engine has TimescaleDB, and return the image's name.

    Made here it is the Apache edition, as Debian ships it.
    """
    tag = versions.TIMESCALE_IMAGE
    if pullable and (docker.image_id(tag) or docker.pull(tag)):
        return tag
    recipe = Recipe(
        tag=tag,
        inputs={
            "packages": TIMESCALE_PACKAGES,
            "drops": TIMESCALE_DROPS,
            "settings": TIMESCALE_SETTINGS,
            "entrypoint": recipe_text("timescaledb/docker-entrypoint.sh"),
            "dockerfile": recipe_text("timescaledb/Dockerfile"),
            "suite": "trixie",
        },
        make=lambda work, label: make_timescale_image(cache, docker, work, label),
    )
    provide(cache, docker, recipe)
    return tag


def make_timescale_image(cache: Cache, docker: Docker, work: Path, label: str) -> None:
    """Assemble the database's image with the public image's contract."""
    root = work / "root"
    debian_root(cache, "trixie", TIMESCALE_PACKAGES, root)
    for pattern in TIMESCALE_DROPS:
        for path in root.glob(pattern):
            run("rm", "-rf", path)
    run("chroot", root, "usermod", "-u", POSTGRES_ID, "postgres")
    run("chroot", root, "groupmod", "-g", POSTGRES_ID, "postgres")
    for made in ("docker-entrypoint-initdb.d", "var/lib/postgresql/data", "run/postgresql"):
        (root / made).mkdir(parents=True, exist_ok=True)
    run("chown", "-R", f"{POSTGRES_ID}:{POSTGRES_ID}", root / "var/lib/postgresql")
    run("chown", "-R", f"{POSTGRES_ID}:{POSTGRES_ID}", root / "run/postgresql")
    (root / "run/postgresql").chmod(0o3777)
    with (root / "usr/share/postgresql/17/postgresql.conf.sample").open("a") as file:
        file.write(TIMESCALE_SETTINGS)
    entrypoint = root / "usr/local/bin/docker-entrypoint.sh"
    entrypoint.write_text(recipe_text("timescaledb/docker-entrypoint.sh"))
    entrypoint.chmod(0o755)
    import_image(root, "local/timescaledb-root:build")
    context = work / "context"
    context.mkdir()
    dockerfile = work / "Dockerfile"
    dockerfile.write_text(f"{recipe_text('timescaledb/Dockerfile')}LABEL {label}\n")
    docker.build(versions.TIMESCALE_IMAGE, context, dockerfile)
    docker.run("image", "rm", "local/timescaledb-root:build")
