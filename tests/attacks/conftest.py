"""Attacks on the compendium: each test tries one and holds if nothing was
mixed, believed, leaked or run.
"""

from pathlib import Path

FOLDER = Path(__file__).parent.name


def pytest_terminal_summary(terminalreporter):
    """Print how many attacks were tried and how many held."""
    tried = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            if FOLDER in Path(report.nodeid.split("::")[0]).parts:
                holds = outcome == "passed"
                tried[report.nodeid] = tried.get(report.nodeid, True) and holds
    if tried:
        terminalreporter.write_line(
            f"attacks: {len(tried)} tried, {sum(tried.values())} held"
        )
