"""What publishes this project is well formed: GitHub's files, the citation,
NeuroLibre's layout.
"""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

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
