"""Fixtures that several test files share, and the count of the attacks."""

import os
from pathlib import Path

import numpy as np
import pytest

TOLD = "told at the end"
"""The property of a test that is printed when all have run, wherever the test
ran.
"""


def pytest_terminal_summary(terminalreporter):
    """Print what tests tell, and how many of the attacks were tried and how
    many held.
    """
    tried = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            # a file that could not be collected has none
            properties = getattr(report, "user_properties", ())
            told = dict(properties).get(TOLD)
            if told:
                terminalreporter.write_line(told)
            if "attacks" in Path(report.nodeid.split("::")[0]).parts:
                holds = outcome == "passed"
                tried[report.nodeid] = tried.get(report.nodeid, True) and holds
    if tried:
        terminalreporter.write_line(
            f"attacks: {len(tried)} tried, {sum(tried.values())} held"
        )


@pytest.fixture
def tell(record_property):
    """Give the function that has a line printed when all tests have run."""
    return lambda line: record_property(TOLD, line)


@pytest.fixture
def rng():
    """Give a seeded generator."""
    return np.random.default_rng(0)


@pytest.fixture
def affine():
    """Give an oblique, anisotropic affine: a swapped axis or a dropped affine
    cannot hide.
    """
    turn = np.deg2rad(12.0)
    rotation = np.array(
        [
            [np.cos(turn), -np.sin(turn), 0.0],
            [np.sin(turn), np.cos(turn), 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.diag([2.0, 2.5, 3.0])
    matrix[:3, 3] = (-31.0, 17.0, -8.0)
    return matrix


@pytest.fixture(scope="session")
def real_data():
    """Give the folder of public real data, or skip."""
    folder = os.environ.get("MMSSL_REAL_DATA")
    if not folder:
        pytest.skip(
            "MMSSL_REAL_DATA is not set: a plain checkout has no real images"
        )
    path = Path(folder)
    assert path.is_dir(), f"MMSSL_REAL_DATA={folder} is not a folder"
    return path


@pytest.fixture(scope="session")
def tiny_phantom(tmp_path_factory):
    """Give a simulated cohort of 24 subjects at 32x32x32, made once per
    session.
    """
    from mmssl.cohorts.simulated import phantom

    folder = tmp_path_factory.mktemp("cohort") / "tiny"
    return phantom.make_phantom(folder, subjects=24, size=32, seed=0)
