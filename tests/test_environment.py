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
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def _wanted():
    """Return what pyproject asks for, tests included."""
    texts = [*PROJECT["dependencies"]]
    texts += PROJECT["optional-dependencies"]["test"]
    return [Requirement(text) for text in texts]


def _pins():
    """Return ``{package: version}`` of the lock."""
    pins = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    return pins


WANTED = _wanted()
PINS = _pins()


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
    for version in PINS.values():
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version)


def test_conda_takes_the_same_python_and_the_same_pins():
    (pip,) = [x for x in CONDA["dependencies"] if isinstance(x, dict)]
    assert pip["pip"] == [
        f"torch=={PINS['torch']}",
        "-r requirements.lock",
        "-e .",
    ]
    assert "python=3.11" in CONDA["dependencies"]
    assert Requirement(
        f"python{PROJECT['requires-python']}"
    ).specifier.contains("3.11.9")


def test_every_dependency_says_why():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for wanted in WANTED:
        start = f'"{wanted.name}>'
        (line,) = [x for x in lines if x.strip().startswith(start)]
        assert "#" in line, line


def test_every_dependency_is_used():
    tools = {
        "jupyterlab",
        "ipywidgets",
        "jupyter-book",
        "sphinx-mathjax-offline",
        "snakemake",
        "snakemake-executor-plugin-slurm",
        "ruff",
        "pytest",
        "pytest-xdist",
    }
    modules = {"scikit-learn": "sklearn", "pyyaml": "yaml", "POT": "ot"}
    modules["check-jsonschema"] = "check_jsonschema"
    modules["axe-playwright-python"] = "axe_playwright_python"
    text = ""
    for folder in ("mmssl", "notebooks", "tests", "book"):
        for suffix in ("py", "ipynb"):
            for file in sorted((ROOT / folder).rglob(f"*.{suffix}")):
                text += file.read_text()
    for wanted in WANTED:
        module = modules.get(wanted.name, wanted.name)
        used = re.search(rf"(import|from) {module}\b", text)
        assert used or wanted.name in tools, (
            f"{wanted.name} is imported nowhere"
        )
