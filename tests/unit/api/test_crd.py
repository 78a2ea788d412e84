from pathlib import Path

import pytest
import yaml

from feedplane_api.crd import (
    KINDS,
    build_crd,
    find_stale,
    main,
    render_chart_crd,
    render_crd,
    render_files,
)
from feedplane_api.resource import Resource


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_rendered_definition_reads_back_the_same(kind: type[Resource]) -> None:
    assert yaml.load(render_crd(kind), Loader=yaml.CSafeLoader) == build_crd(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_chart_copy_differs_by_its_switches_only(kind: type[Resource]) -> None:
    lines = render_chart_crd(kind).splitlines()
    assert (lines[0], lines[-1]) == ("{{- if .Values.crds.enabled }}", "{{- end }}")
    kept = [n for n, line in enumerate(lines) if "crds.keep" in line]
    assert len(kept) == 1
    assert lines[kept[0] + 2].strip() == "helm.sh/resource-policy: keep"
    # Between the switches stands the definition itself.
    body = lines[1 : kept[0]] + lines[kept[0] + 4 : -1]
    assert "\n".join(body) + "\n" == render_crd(kind)


def test_chart_copy_escapes_template_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    (kind, *_) = KINDS
    monkeypatch.setattr(kind, "__doc__", "An object with {{ braces }}.")
    kind.model_rebuild(force=True)
    try:
        text = render_chart_crd(kind)
    finally:
        monkeypatch.undo()
        kind.model_rebuild(force=True)
    assert 'An object with {{ "{{" }} braces }}.' in text


def test_selectable_field_is_the_feed_source() -> None:
    versions = {kind.kind: build_crd(kind)["spec"]["versions"][0] for kind in KINDS}
    found = {kind: version.get("selectableFields") for kind, version in versions.items()}
    reference = [{"jsonPath": ".spec.feedSourceRef.name"}]
    assert found == {"FeedSource": None, "Subscription": reference, "Backfill": reference}


def test_stale_files_are_the_absent_and_the_changed(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("a")
    (tmp_path / "changed").write_text("b")
    assert find_stale({"same": "a", "changed": "a", "absent": "a"}, tmp_path) == [
        "changed",
        "absent",
    ]


def test_check_names_stale_files_until_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path)]
    assert main(["--check", *root]) == 1
    assert "stale: crds/feedsources.yaml" in capsys.readouterr().out.splitlines()
    assert main(["--write", *root]) == 0
    assert "wrote crds/feedsources.yaml" in capsys.readouterr().out.splitlines()
    assert main(["--check", *root]) == 0
    assert capsys.readouterr().out == ""
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == set(render_files())
