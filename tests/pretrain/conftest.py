"""A small cohort on which tests of pretraining run."""

import pytest
from small_cohort import write_small_cohort


@pytest.fixture(scope="session")
def make_cohort():
    """Give the function that writes a cohort, with changes, to a folder."""
    return write_small_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Give the cohort as it is."""
    return write_small_cohort(tmp_path_factory.mktemp("pretrain") / "cohort")
