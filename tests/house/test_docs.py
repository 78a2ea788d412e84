"""The documents: links that lead somewhere, decisions in their form, commands that exist."""

import re
from pathlib import Path

import pytest
import yaml

from feedplane_api.backfill import Backfill
from feedplane_api.feed_source import FeedSource
from feedplane_api.subscription import Subscription

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs/decisions"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
YAML_BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
SECTIONS = ["Context", "Decision", "Consequences"]
MODELS = {"FeedSource": FeedSource, "Subscription": Subscription, "Backfill": Backfill}
METRIC = re.compile(r"\bfeedplane_[a-z_]+")
PACKAGES = {
    f"feedplane_{name}" for name in ("api", "operator", "feeder", "cli", "cluster", "simulator")
}
READER_PAGES = ("tutorials", "how-to", "reference", "explanation", "ops", "decisions")
MAX_DECISION_WORDS = 700


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, spelled as code hosts spell them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return False
    target, _, anchor = link.partition("#")
    path = (page.parent / target).resolve() if target else page
    if not path.exists():
        return True
    return bool(anchor) and path.suffix == ".md" and anchor not in anchors(path)


def test_every_link_in_the_documents_resolves() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages()
        for link in LINK.findall(CODE.sub("", page.read_text()))
        if broken(page, link)
    ]
    assert dead == []


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    lost = [
        str(page.relative_to(ROOT))
        for folder in READER_PAGES
        for page in sorted((ROOT / "docs" / folder).glob("*.md"))
        if page not in linked
    ]
    assert lost == []


def test_decisions_are_numbered_without_holes() -> None:
    numbers = sorted(int(path.name[:4]) for path in DECISIONS.glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("*.md")), ids=lambda page: page.name)
def test_decision_record_has_its_three_parts(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert re.search(rf"^# {int(page.name[:4])}[.] \S", text, re.MULTILINE)
    assert len(text.split()) <= MAX_DECISION_WORDS


def test_manifests_shown_in_documents_are_valid() -> None:
    seen = 0
    for page in pages():
        for block in YAML_BLOCK.findall(page.read_text()):
            for document in yaml.safe_load_all(block):
                model = MODELS.get((document or {}).get("kind", ""))
                if model is not None:
                    model.parse(document)
                    seen += 1
    assert seen > 0


def test_make_targets_shown_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        target
        for page in pages()
        for target in re.findall(r"(?:^|`)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)
    }
    assert shown - targets == set()


def test_metrics_named_in_documents_exist() -> None:
    known = METRIC.findall(
        (ROOT / "docs/reference/metrics.md").read_text()
        + (ROOT / "docs/reference/operator.md").read_text()
    )
    named = {word for page in pages() for word in METRIC.findall(page.read_text())}
    assert named - {*known, *PACKAGES} == set()
