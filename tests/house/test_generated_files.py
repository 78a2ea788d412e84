"""What is generated is what the models say today."""

from pathlib import Path

from feedplane_api.crd import find_stale, render_files

ROOT = Path(__file__).parents[2]


def test_generated_files_equal_the_models() -> None:
    # `make gen` writes them anew.
    assert find_stale(render_files(), ROOT) == []


def test_no_generated_folder_holds_anything_else() -> None:
    files = render_files()
    for folder in ("crds", "charts/feedplane/templates/crds"):
        present = {str(path.relative_to(ROOT)) for path in (ROOT / folder).glob("*.yaml")}
        assert present == {path for path in files if Path(path).parent == Path(folder)}
