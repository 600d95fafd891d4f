"""The table of a grid while it runs: what a terminal shows, and what a log file."""

import io

from rich.console import Console

from tfcap.reporting.live_table import LiveTable
from tfcap.reporting.quality import CIDER

PLACES = {"a-s0": ("loss", 0.5), "a-s1": ("loss", 0.5), "a-s2": ("loss", 0.5), "full-s0": ("full", 1.0)}


def _ran(terminal):
    file = io.StringIO()
    with LiveTable(PLACES, CIDER, Console(file=file, force_terminal=terminal, width=100, color_system=None)) as table:
        table.found("a-s0", 90.0)
        table.started("a-s1")
        table.started("a-s2")
        table.expect(600)
        table.finished("a-s1", 100.0, "a-s1: CIDEr 100.0 [done]")
        table.failed("a-s2", "no room")
        table.started("full-s0")
    return file.getvalue()


def test_a_log_file_has_a_line_an_event_with_the_time_that_is_left():
    lines = _ran(terminal=False).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("a-s1: CIDEr 100.0 [done] (2 of 4 cells, 0.0 min, about 10 min left)")
    assert lines[1].startswith("a-s2 failed: no room (3 of 4 cells")


def test_a_terminal_shows_means_and_what_runs_or_failed():
    shown = _ran(terminal=True)
    last = shown[shown.rindex("CIDEr x 100 so far") :]
    rows = {words[1]: words[2:] for line in last.splitlines() if len(words := line.split()) > 2}
    assert "95.0 2/3 1 failed" in " ".join(rows["loss"]) and "0/1 1 running" in " ".join(rows["full"])
    assert "a-s2 failed: no room" in shown and "3 of 4 cells" in last
