import sys

import pytest

from feedplane_operator.__main__ import main


def test_help_names_the_settings_that_are_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["feedplane-operator", "--help"])
    main()
    said = capsys.readouterr().out
    assert all(name in said for name in ("POD_NAME", "POD_NAMESPACE", "FEEDPLANE_FEEDER_IMAGE"))
