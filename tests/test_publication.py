"""What publishes this project is well formed: GitHub's files, the citation,
NeuroLibre's layout.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import nbformat
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from book import direct_build, repository

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = []
for name in ("addition", "bug", "claim"):
    FORMS.append(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")


class _Text(yaml.SafeLoader):
    """YAML in which ``on`` is a key and a date is text."""


_Text.yaml_implicit_resolvers = {
    letter: [entry for entry in entries if not entry[0].endswith("timestamp")]
    for letter, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if letter not in ("o", "O")
}


def _read(file):
    return yaml.load(file.read_text(encoding="utf-8"), _Text)


def faults(content, schema):
    """Return what a schema that check-jsonschema bundles says of a file."""
    checked = get_builtin_schema(f"vendor.{schema}")
    kind = jsonschema.validators.validator_for(checked)
    return [error.message for error in kind(checked).iter_errors(content)]


def _commands(workflow):
    lines = []
    for job in workflow["jobs"].values():
        lines += [step.get("run", "") for step in job["steps"]]
    return "\n".join(lines)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_is_one(file):
    workflow = _read(file)
    assert faults(workflow, "github-workflows") == []
    # no token that may write, but where a job says so
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 240
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


def test_workflows_run_what_there_is():
    """Every target that a workflow makes is one of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    made = []
    for file in WORKFLOWS:
        made += re.findall(r"make ([\w-]+)", _commands(_read(file)))
    assert {"test", "reproduce", "paper"} <= set(made)
    for target in made:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    conda = _read(GITHUB / "workflows" / "environment.yml")
    (step,) = [
        step
        for step in conda["jobs"]["conda"]["steps"]
        if "environment-file" in step.get("with", {})
    ]
    assert (ROOT / step["with"]["environment-file"]).is_file()


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_an_issue_form_is_one(file):
    assert faults(_read(file), "github-issue-forms") == []


def test_the_citation_is_one_and_of_this_version():
    citation = _read(ROOT / "CITATION.cff")
    assert faults(citation, "citation-file-format") == []
    settings = _read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")
    assert faults(settings, "github-issue-config") == []


def test_each_schema_can_fail():
    workflow = _read(WORKFLOWS[0])
    (job,) = [*workflow["jobs"].values()][:1]
    job["runs_on"] = job.pop("runs-on")
    assert faults(workflow, "github-workflows")
    form = _read(FORMS[0])
    del form["body"]
    assert faults(form, "github-issue-forms")
    assert faults({"title": "x"}, "citation-file-format")
    assert faults({"nothing": 1}, "github-issue-config")


def test_binder_takes_the_lock_and_this_python():
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    assert "-r ../requirements.lock" in lines
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = (ROOT / "binder" / "runtime.txt").read_text().strip()
    assert runtime == "python-3.11"
    assert project["requires-python"] == ">=3.11,<3.12"
    script = ROOT / "binder" / "postBuild"
    assert script.stat().st_mode & 0o100
    assert "--editable ." in script.read_text()


def test_the_data_of_the_preprint_are_the_demo_cohort():
    """NeuroLibre runs the words of `src` where a dataset has no address."""
    asked = json.loads((ROOT / "binder/data_requirement.json").read_text())
    assert set(asked) == {"src", "dst", "projectName"}
    # what makes repo2data take it for Python
    assert re.match(".*?(import.*?;).*?", asked["src"])
    calls = {}
    namespace = {
        "_dst": "folder",
        "make_phantom": lambda path, **given: calls.update(given, path=path),
    }
    source = asked["src"].split("; ", 1)[1].removeprefix("cohorts.")
    exec(source, namespace)
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    made = demo["notebooks"]["01_cohort"]
    expected = {name: made[name] for name in made if name != "output"}
    assert calls == {**expected, "path": "folder/cohort"}


def test_what_neurolibre_reads_is_where_it_looks():
    assert (ROOT / "paper.md").is_file()
    references = (ROOT / "paper.bib").read_text()
    assert references == (ROOT / "book" / "references.bib").read_text()


def test_a_plain_build_makes_the_pages():
    content = ROOT / "content"
    assert content.is_symlink() and content.resolve() == ROOT / "book"
    for name in ("_config.yml", "_toc.yml"):
        assert (content / name).is_file()
    extensions = _read(content / "_config.yml")["sphinx"]["extra_extensions"]
    assert "book.direct_build" in extensions
    toc = (content / "_toc.yml").read_text()
    edition = yaml.safe_load((ROOT / direct_build.EDITION).read_text())
    for notebook in edition["notebooks"]:
        assert f"executed/{edition['edition']}/{notebook}\n" in toc


def _checkout(folder):
    """Write the files of a checkout whose workflow is not run."""
    for name in ("book/index.md", "mmssl/a.py", "data/b", ".git/c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("is_writable", [True, False])
def test_where_data_is_read_only_a_copy_is_run(
    is_writable, tmp_path, monkeypatch
):
    root = _checkout(tmp_path / "checkout")
    ran = []

    def run(command, cwd, env, check):
        assert command[-1] == "config/demo.yaml" and check
        assert env["PYTHONPATH"] == str(cwd)
        files = [file for file in cwd.rglob("*") if file.is_file()]
        ran.append((cwd, {str(file.relative_to(cwd)) for file in files}))
        for name in ("executed/demo/01.ipynb", "_build/speed/a.md"):
            (cwd / "book" / name).parent.mkdir(parents=True)
            (cwd / "book" / name).write_text("made")
        (cwd / "book" / "_build" / "html").mkdir()

    monkeypatch.setattr(direct_build.subprocess, "run", run)
    monkeypatch.setattr(direct_build.os, "access", lambda *_: is_writable)
    direct_build.make_pages(root)
    ((where, files),) = ran
    assert (where == root) is is_writable
    if not is_writable:
        assert files == {"book/index.md", "mmssl/a.py"}
        assert not (root / "book" / "_build" / "html").exists()
    assert (root / "book/executed/demo/01.ipynb").read_text() == "made"
    assert (root / "book/_build/speed/a.md").read_text() == "made"


@pytest.fixture
def citation(tmp_path, monkeypatch):
    """Give a function that writes a citation with an address."""
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)

    def write(line=""):
        (tmp_path / "CITATION.cff").write_text(f"title: x\n{line}\n")
        return tmp_path

    return write


def test_an_address_is_the_citations_or_the_runners(citation, monkeypatch):
    root = citation()
    assert repository.address(root) is None
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://example.org")
    monkeypatch.setenv("GITHUB_REPOSITORY", "some/one")
    assert repository.address(root) == "https://example.org/some/one"
    root = citation("repository-code: https://example.org/an/other")
    assert repository.address(root) == "https://example.org/an/other"
    root = citation("repository-code: example.org/an/other")
    with pytest.raises(ValueError, match="repository-code.*expected https"):
        repository.address(root)


def test_a_link_leads_to_what_the_repository_has():
    start = "https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/book/"
    made = {"url": f"{start}executed/demo/04_linear_evaluation.ipynb"}
    text = {"url": f"{start}methods.md"}
    buttons = [{"type": "group", "buttons": [made, text]}, {"text": "x"}]
    repository.point_at_sources(buttons)
    there = made["url"].partition("lab/tree/")[2]
    assert there == "notebooks/04_linear_evaluation.ipynb"
    assert (ROOT / there).is_file()
    assert text["url"] == f"{start}methods.md"


def test_a_built_page_has_these_links(tmp_path, monkeypatch):
    """The theme takes the address, and its buttons are ours."""
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "some/one")
    source = tmp_path / "executed" / "demo" / "04_x.ipynb"
    source.parent.mkdir(parents=True)
    kernel = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_markdown_cell("# Title")],
            metadata={"kernelspec": kernel},
        ),
        source,
    )
    (tmp_path / "index.md").write_text(
        "# Front\n\n```{toctree}\nexecuted/demo/04_x\n```\n"
    )
    (tmp_path / "conf.py").write_text(
        'extensions = ["myst_nb", "book.repository"]\n'
        'html_theme = "sphinx_book_theme"\n'
        'nb_execution_mode = "off"\n'
    )
    command = [sys.executable, "-m", "sphinx", "-q", tmp_path, tmp_path / "o"]
    subprocess.run(command, check=True, cwd=ROOT)
    page = (tmp_path / "o/executed/demo/04_x.html").read_text()
    binder = "https://mybinder.org/v2/gh/some/one/main?urlpath=lab/tree/"
    assert f"{binder}notebooks/04_x.ipynb" in page
    assert 'href="https://github.com/some/one"' in page
    assert "book/executed" not in page
