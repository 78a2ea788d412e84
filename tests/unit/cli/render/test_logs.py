from feedplane_cli.core.log_lines import parse_line
from feedplane_cli.render.logs import PALETTE, pick_style, render_line

LINE = '{"ts": "2026-11-21T12:00:00.250Z", "level": "ERROR", "component": "session", "msg": "x.y"'


def test_line_is_drawn_with_its_prefix_and_fields() -> None:
    drawn = render_line(parse_line(LINE + ', "symbol": "BTC"}'), "main/0", "cyan")
    assert drawn.plain == "main/0 12:00:00.250 ERROR   session      x.y  symbol=BTC"
    assert "cyan" in [str(span.style) for span in drawn.spans]


def test_traceback_stands_below_its_line() -> None:
    drawn = render_line(parse_line(LINE + ', "traceback": "Traceback"}'), "", "")
    assert drawn.plain.splitlines()[1] == "Traceback"


def test_plain_line_is_drawn_as_it_is() -> None:
    assert render_line(parse_line("hello"), "main/0", "cyan").plain == "main/0 hello"


def test_each_account_has_its_colour() -> None:
    styles = [pick_style(name, ["main", "backup"]) for name in ("main", "backup", "gone")]
    assert styles == list(PALETTE[:3])
