"""pyproject, lock and conda environment say the same, and it is what is
installed.
"""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [
    Requirement(text)
    for text in (
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["test"],
    )
]
PINS = dict(
    (canonicalize_name(name), version)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
    for name, version in [line.split("==")]
)
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_every_dependency_is_pinned_inside_its_bounds(wanted):
    assert wanted.specifier.contains(
        PINS[canonicalize_name(wanted.name)], prereleases=True
    )


@pytest.mark.parametrize("name", PINS)
def test_what_is_installed_is_what_is_pinned(name):
    # a machine's own build of torch carries a local label, e.g. +cpu
    assert metadata.version(name).split("+")[0] == PINS[name]


def test_the_lock_is_closed():
    """Every dependency of a pinned package is pinned too."""
    environment = {"extra": ""}
    for name in PINS:
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate(environment):
                key = canonicalize_name(needed.name)
                assert key in PINS, (
                    f"{name} needs {needed}, which is not in requirements.lock"
                )


def test_pins_are_exact_and_carry_no_build():
    assert all(
        re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in PINS.values()
    )


def test_conda_takes_the_same_python_and_the_same_pins():
    pip = next(
        entry["pip"]
        for entry in CONDA["dependencies"]
        if isinstance(entry, dict)
    )
    assert pip == [f"torch=={PINS['torch']}", "-r requirements.lock", "-e ."]
    assert "python=3.11" in CONDA["dependencies"]
    assert Requirement(
        f"python{PROJECT['requires-python']}"
    ).specifier.contains("3.11.9")


def test_every_dependency_says_why():
    text = (ROOT / "pyproject.toml").read_text()
    for wanted in WANTED:
        (line,) = [
            x
            for x in text.splitlines()
            if x.strip().startswith(f'"{wanted.name}>')
        ]
        assert "#" in line, line


def test_every_dependency_is_used():
    tools = {
        "jupyterlab",
        "ipywidgets",
        "jupyter-book",
        "sphinx-mathjax-offline",
        "snakemake",
        "ruff",
        "pytest",
    }
    modules = {"scikit-learn": "sklearn", "pyyaml": "yaml"}
    files = [
        f
        for d in ("mmssl", "notebooks", "tests", "book")
        for f in (ROOT / d).rglob("*")
    ]
    text = "\n".join(
        f.read_text() for f in files if f.suffix in (".py", ".ipynb")
    )
    for wanted in WANTED:
        module = modules.get(wanted.name, wanted.name)
        used = re.search(rf"(import|from) {module}\b", text)
        assert used or wanted.name in tools, (
            f"{wanted.name} is imported nowhere"
        )
