"""A feeder's status in one line, for a person at a terminal."""

from typing import Final

from feedplane_api.worker import FeederStatus, SinkReport

SHOWN_PROBLEMS: Final = 3


def render_status_line(status: FeederStatus) -> str:
    """Return rate, coverage, lag, gaps, rows and the first problems of this moment."""
    coverage = status.coverage
    open_gaps = sum(gap.open for gap in status.gaps)
    parts = [
        f"{status.time:%H:%M:%S}",
        f"{status.session.value.lower():<12}",
        f"{status.events_per_second:>7,}/s",
        f"live {coverage.live}/{coverage.wanted}",
        f"lag {_milliseconds(status.lag_milliseconds)}",
        f"gaps {open_gaps}",
        *(_sink(sink) for sink in status.sinks),
    ]
    line = "  ".join(parts)
    if not status.health.healthy:
        line += f"  {status.health.reason}"
    return line + _problems(status)


def _sink(sink: SinkReport) -> str:
    words = f"rows {sink.records_written:,}"
    if sink.records_duplicate:
        words += f" (+{sink.records_duplicate:,} known)"
    if sink.spilled_bytes:
        words += f" spilled {sink.spilled_bytes:,} bytes"
    if not sink.connected:
        words += f" {sink.name} away"
    return words


def _problems(status: FeederStatus) -> str:
    if not status.problems:
        return ""
    shown = ", ".join(
        f"{problem.symbol} {problem.channel} {problem.reason}"
        for problem in status.problems[:SHOWN_PROBLEMS]
    )
    hidden = len(status.problems) - SHOWN_PROBLEMS
    return f"  waiting for {shown}" + (f" and {hidden} more" if hidden > 0 else "")


def _milliseconds(lag: int | None) -> str:
    return "-" if lag is None else f"{lag:,} ms"
