"""A venue is a plug: it shows in its own files and two lists, and nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedplane_feeder.registry import ADAPTERS
from feedplane_simulator.venues import VENUES

ROOT = Path(__file__).parents[2]
FEEDER = ROOT / "feeder/src/feedplane_feeder"
SIMULATOR = ROOT / "tests/simulator/src/feedplane_simulator"
SHARED = {
    "api": ROOT / "crds/src/feedplane_api",
    "operator": ROOT / "operator/src/feedplane_operator",
    "cli": ROOT / "cli/src/feedplane_cli",
    "feeder": FEEDER,
    "cluster": ROOT / "tests/cluster/src/feedplane_cluster",
}
ADAPTER_PACKAGE = "feedplane_feeder.adapters"
SIMULATOR_PACKAGE = "feedplane_simulator"
# The venue that the simulator was built around, and that the demo shows.
BUILT_IN = {"binance"}


def family(stem: str) -> str:
    """The first word of a module's name, which its venue's modules share."""
    return stem.partition("_")[0]


FAMILIES = {family(p.stem) for p in (FEEDER / "adapters").glob("[!_]*.py")}
HOSTED = {family(factory.__module__.rpartition(".")[2]) for factory in VENUES.values()}


def place(path: Path, room: Path) -> str:
    """The family a file of a room belongs to, also where it lies deeper."""
    return family(path.relative_to(room).parts[0].removesuffix(".py"))


def modules(folder: Path) -> Iterator[Path]:
    yield from (p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)


def imported(path: Path, package: str) -> set[str]:
    """Modules right below a package that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module == package:
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module)) if module.startswith(f"{package}."):
                found.add(module.removeprefix(f"{package}.").partition(".")[0])
            case ast.Import(names=names):
                found |= {
                    alias.name.removeprefix(f"{package}.").partition(".")[0]
                    for alias in names
                    if alias.name.startswith(f"{package}.")
                }
    return found


def words(path: Path) -> Iterator[str]:
    """Names and strings of the code itself; docstrings and comments are prose."""
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in prose:
                yield text
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text):
                yield text
            case ast.FunctionDef(name=text) | ast.ClassDef(name=text) | ast.alias(name=text):
                yield text
            case ast.ImportFrom(module=str(text)):
                yield text


def naming(path: Path, venues: set[str]) -> list[str]:
    pattern = re.compile(rf"(?<![a-z])({'|'.join(sorted(venues))})(?![a-z])", re.IGNORECASE)
    return [f"{path.relative_to(ROOT)}: {w[:60]}" for w in words(path) if pattern.search(w)]


def test_adapters_import_their_own_family_only() -> None:
    astray = [
        f"{path.stem} imports {other}"
        for path in modules(FEEDER / "adapters")
        for other in imported(path, ADAPTER_PACKAGE)
        if family(other) != family(path.stem)
    ]
    assert astray == []


def test_only_the_registry_imports_adapters() -> None:
    astray = [
        str(path.relative_to(ROOT))
        for folder in SHARED.values()
        for path in modules(folder)
        if path.parent.name != "adapters" and imported(path, ADAPTER_PACKAGE)
    ]
    assert astray == ["feeder/src/feedplane_feeder/registry.py"]


@pytest.mark.parametrize("package", SHARED)
def test_no_shared_code_names_a_venue(package: str) -> None:
    named = []
    for path in modules(SHARED[package]):
        if path.parent.name == "adapters" or path == FEEDER / "registry.py":
            continue
        venues = FAMILIES - BUILT_IN if package == "cluster" else FAMILIES
        named += naming(path, venues)
    assert named == []


def test_only_the_list_of_hosted_venues_knows_one() -> None:
    named = []
    for path in modules(SIMULATOR):
        if place(path, SIMULATOR) not in HOSTED and path.name != "venues.py":
            named += naming(path, HOSTED)
    assert named == []


def test_hosted_venues_know_only_themselves_and_what_all_share() -> None:
    for path in modules(SIMULATOR):
        own = place(path, SIMULATOR)
        if own in HOSTED:
            others = {family(each) for each in imported(path, SIMULATOR_PACKAGE)} & HOSTED
            assert others <= {own}


def test_each_venue_is_its_files_and_two_lines() -> None:
    for venue in ADAPTERS:
        own = family(venue.replace("-", "_"))
        if own in BUILT_IN:
            continue
        fixture = ROOT / f"tests/unit/feeder/fixtures/{venue}.jsonl"
        assert fixture.is_file()
        assert venue in VENUES or own in {family(p.stem) for p in modules(SIMULATOR)}
