"""The style that no linter checks: where things live, what they are called, how big they are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "api": ROOT / "crds/src/feedplane_api",
    "operator": ROOT / "operator/src/feedplane_operator",
    "feeder": ROOT / "feeder/src/feedplane_feeder",
    "cli": ROOT / "cli/src/feedplane_cli",
    "simulator": ROOT / "tests/simulator/src/feedplane_simulator",
    "cluster": ROOT / "tests/cluster/src/feedplane_cluster",
}
UNIT = ROOT / "tests/unit"
TESTS = ROOT / "tests"
MAX_MODULE_LINES = 400
# A thing is named after what it does, not after being useful.
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
VENUE_WORDS = re.compile(
    r"binance|okx|bybit|coinbase|deribit|kraken|hyperliquid|alpaca", re.IGNORECASE
)
# The rooms in which a venue may be named: the adapters themselves and the list of them.
VENUE_ROOMS = ("adapters/", "registry.py")
PURE = ("crds/src/feedplane_api/", "/core/")
GENERATED_BY = {"crd.py", "reference.py"}
TEST_NAME = re.compile(r"test(_[a-z0-9]+){3,11}")
PASSED_OVER = {"skip", "skipif", "xfail", "importorskip"}


def python_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)


def source_files() -> list[Path]:
    return [path for folder in SOURCES.values() for path in python_files(folder)]


def own_tests() -> list[Path]:
    inside = [SOURCES["simulator"], SOURCES["cluster"]]
    return [p for p in python_files(TESTS) if not any(p.is_relative_to(i) for i in inside)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def has_logic(path: Path) -> bool:
    """Whether any function does more than state its own signature."""
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for function in functions(ast.parse(path.read_text()))
        for statement in function.body
    )


def code_words(path: Path) -> Iterator[str]:
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


def mirrored(test: Path, root: Path) -> set[Path]:
    """The modules a test file may be about: `test_tape_gaps.py` is about `tape_gaps` or `tape`."""
    words = test.stem.removeprefix("test_").split("_")
    stems = {"_".join(words[: count + 1]) for count in range(len(words))}
    stems |= {"__main__"} if words == ["main"] else set()
    return {test.relative_to(root).parent / stem for stem in stems}


@pytest.mark.parametrize("package", SOURCES)
def test_unit_tests_mirror_the_modules(package: str) -> None:
    source = SOURCES[package]
    modules = {p.relative_to(source).with_suffix("") for p in python_files(source)}
    # A folder may be tested as one, by a table over its members.
    modules |= {p.parent for p in modules if p.parent != Path()}
    astray = [
        str(test.relative_to(UNIT / package))
        for test in python_files(UNIT / package)
        if test.name.startswith("test_") and not modules & mirrored(test, UNIT / package)
    ]
    assert astray == []


def test_every_pure_module_has_its_test() -> None:
    missing = []
    for package, source in SOURCES.items():
        for path in python_files(source):
            pure = any(room in name(path) for room in PURE)
            if not pure or path.name in GENERATED_BY or not has_logic(path):
                continue
            place = path.relative_to(source)
            if not (UNIT / package / place.parent / f"test_{place.stem}.py").is_file():
                missing.append(name(path))
    assert missing == []


def test_no_module_is_longer_than_a_page_can_hold() -> None:
    long = {name(p): len(p.read_text().splitlines()) for p in source_files()}
    assert {p: lines for p, lines in long.items() if lines > MAX_MODULE_LINES} == {}


def test_no_module_is_named_after_nothing() -> None:
    assert [name(p) for p in source_files() if p.stem in NAMELESS] == []


def test_package_doors_hold_a_docstring_only() -> None:
    doors = [p for p in source_files() if p.name == "__init__.py"]
    full = [name(p) for p in doors if len(ast.parse(p.read_text()).body) > 1]
    assert full == []
    assert len(doors) >= len(SOURCES)


@pytest.mark.parametrize("folder", ["operator", "feeder", "tests"])
def test_folders_beside_src_are_no_packages(folder: str) -> None:
    # One there, and Python started in the root could no longer import the standard library's own.
    assert not (ROOT / folder / "__init__.py").exists()


def test_only_adapters_and_registry_name_a_venue() -> None:
    named = []
    for package in ("api", "operator", "feeder"):
        for path in python_files(SOURCES[package]):
            place = str(path.relative_to(SOURCES[package]))
            if package == "feeder" and place.startswith(VENUE_ROOMS):
                continue
            named += [f"{name(path)}: {w}" for w in code_words(path) if VENUE_WORDS.search(w)]
    assert named == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [name(p) for p in source_files() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []


def passes_over(node: ast.AST) -> bool:
    """Whether a node skips a test, excuses it, or replaces what it is about by a mock."""
    match node:
        case ast.Attribute(value=ast.Name(id="pytest"), attr=word):
            return word in PASSED_OVER
        case ast.Attribute(value=ast.Attribute(attr="mark"), attr=word):
            return word in PASSED_OVER
        case ast.ImportFrom(module=str(module)):
            return module.startswith("unittest")
        case ast.Import(names=names):
            return any(alias.name.startswith("unittest") for alias in names)
    return False


def test_no_test_can_be_passed_over() -> None:
    found = [
        f"{name(path)}:{getattr(node, 'lineno', 0)}"
        for path in own_tests()
        for node in ast.walk(ast.parse(path.read_text()))
        if passes_over(node)
    ]
    assert found == []


def test_tests_are_functions_with_telling_names() -> None:
    odd = []
    for path in own_tests():
        if not path.name.startswith("test_"):
            continue
        tree = ast.parse(path.read_text())
        odd += [
            f"{name(path)}: {node.name}"
            for node in tree.body
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
        ]
        odd += [
            f"{name(path)}: {function.name}"
            for function in functions(tree)
            if function.name.startswith("test_") and not TEST_NAME.fullmatch(function.name)
        ]
    assert odd == []


def test_nothing_is_left_for_later_in_the_code() -> None:
    later = re.compile(r"\b(TO" + "DO|FIX" + r"ME|XX" + r"X)\b")
    paths = [*source_files(), *own_tests()]
    assert [name(p) for p in paths if later.search(p.read_text())] == []


def test_every_make_target_has_a_help_line() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^[.]PHONY: (.+)$", text, re.MULTILINE)
    assert phony is not None
    helped = set(re.findall(r"^([a-z0-9-]+):.*## \S", text, re.MULTILINE))
    assert helped == set(phony[1].split())
