"""The runner: papermill's spelling, wrong names and types refused, nothing
half-done.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mmssl.ledger import locks
from mmssl.ledger.sidecars import read_sidecar, stale

RUNNER = Path(__file__).parents[1] / "notebooks" / "execute.py"
sys.path.insert(0, str(RUNNER.parent))
CELL = """\
edition: str = "smoke"  # which edition
epochs: int = 2  # passes over the data
rate: float = 0.5  # learning rate
fast: bool = True  # skip the slow part
tr: float | None = None  # s, repetition time; None: from the header
source: str = None  # a file, relative to the repository
folds: list = [0, 1]  # folds to run
"""


def _load():
    spec = importlib.util.spec_from_file_location("execute", RUNNER)
    module = importlib.util.module_from_spec(spec)
    sys.modules["execute"] = module
    spec.loader.exec_module(module)
    return module


execute = _load()


def _notebook(path, *cells, parameters=CELL):
    tagged = nbformat.v4.new_code_cell(
        parameters, metadata={"tags": ["parameters"]}
    )
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    kernel = {
        "kernelspec": {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
    }
    nbformat.write(
        nbformat.v4.new_notebook(cells=[tagged, *code], metadata=kernel), path
    )
    return path


def test_parameters_are_read_with_type_default_and_meaning(tmp_path):
    parameters = execute.read_parameters(_notebook(tmp_path / "n.ipynb"))
    assert " ".join(parameters) == "edition epochs rate fast tr source folds"
    assert parameters["tr"] == execute.Parameter(
        "tr", "float | None", None, "s, repetition time; None: from the header"
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"epochs": 5}, 5),
        ({"rate": 1}, 1.0),
        ({"tr": None}, None),
        ({"tr": 2}, 2.0),
        ({"source": "a.nii"}, "a.nii"),
        ({"folds": [3]}, [3]),
    ],
)
def test_values_of_the_right_type_are_taken(tmp_path, values, expected):
    (name,) = values
    value = execute.resolve(_notebook(tmp_path / "n.ipynb"), values)[name]
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", "many", "int"),
        ("epochs", 1.5, "int"),
        ("epochs", True, "int"),
        ("epochs", None, "int"),
        ("rate", "0,5", "float"),
        ("fast", 1, "bool"),
        ("edition", 3, "str"),
        ("folds", 3, "list"),
        ("rate", float("inf"), "a finite number"),
        ("tr", float("nan"), "a finite number"),
        ("folds", [0, [1.0, -float("inf")]], "a finite number"),
    ],
)
def test_a_wrong_type_names_parameter_value_and_type(
    tmp_path, name, value, expected
):
    with pytest.raises(
        execute.ParameterError, match=rf"{name}: found .*expected {expected}"
    ):
        execute.resolve(_notebook(tmp_path / "n.ipynb"), {name: value})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("seed = 0  # no type", "is not `name"),
        ("seed: int = 0", "no comment"),
        ("seed: int = 1 + 1  # derived", "not a literal"),
        ("seed: int = 0.5  # lies about its type", "expected int"),
        ("seed: complex = 0  # odd", "none of str"),
    ],
)
def test_a_careless_parameters_cell_is_refused(tmp_path, line, why):
    with pytest.raises(execute.ParameterError, match=why):
        execute.read_parameters(
            _notebook(tmp_path / "n.ipynb", parameters=line)
        )


def test_a_notebook_without_parameters_cell_is_refused(tmp_path):
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(
        execute.ParameterError, match="0 cells tagged parameters"
    ):
        execute.read_parameters(path)


def _call(*arguments):
    command = [sys.executable, str(RUNNER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "given",
    [
        ("-p", "epoch", "3"),
        ("-p", "epochs", "many"),
        ("-p", "epochs", "inf"),
    ],
)
def test_command_refuses_with_status_2_and_writes_nothing(tmp_path, given):
    notebook = _notebook(tmp_path / "n.ipynb", "1 / 0")
    done = _call(notebook, tmp_path / "out" / "n.ipynb", *given)
    assert done.returncode == 2
    assert "epoch" in done.stderr and "Traceback" not in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


def test_a_run_is_complete_and_says_what_made_it(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "data.txt").write_text("a")
    cells = (
        "from mmssl.ledger import paths\nimport sys\n"
        "print(epochs, repr(rate), source, sys.executable)",
        "print(paths.project(source), 'read')\n"
        "paths.project('made.txt').write_text('b')",
    )
    notebook = _notebook(tmp_path / "n.ipynb", *cells)
    output = tmp_path / "out" / "n.ipynb"
    (tmp_path / "more.yaml").write_text("rate: 2\n")
    given = ["-p", "epochs", "3", "-r", "source", "data.txt"]
    given += ["-f", tmp_path / "more.yaml"]
    done = _call(notebook, output, *given)
    assert done.returncode == 0, done.stderr
    printed = []
    for cell in nbformat.read(output, 4).cells:
        for cell_output in cell.get("outputs", ()):
            if "text" in cell_output:
                printed.append(cell_output.text)
    assert printed[0].split()[:3] == ["3", "2.0", "data.txt"]
    assert printed[0].split()[3].endswith("bin/" + Path(sys.executable).name)
    assert printed[1] == "data.txt read\n"
    text = output.read_text()
    assert (
        str(tmp_path) not in text.replace("more.yaml", "")
        and sys.prefix not in text
    )
    assert ".tmp-" not in text
    record = read_sidecar(output)
    assert (
        record["parameters"]["epochs"] == 3
        and record["parameters"]["fast"] is True
    )
    assert set(record["inputs"]) == {"notebook", "source"}
    assert record["modules"] == ["mmssl.ledger.paths"]
    assert list(record["code"]) == ["mmssl.ledger.paths"]
    assert (
        record["facts"]["edition"] == "smoke"
        and record["facts"]["seconds"] > 0
    )
    assert stale(output) == []
    assert sorted(file.name for file in output.parent.iterdir()) == [
        "n.ipynb",
        "n.ipynb.json",
    ]

    (tmp_path / "data.txt").write_text("c")
    assert stale(output) == ["its input source (data.txt) has changed"]
    (tmp_path / "data.txt").write_text("a")
    _notebook(notebook, *cells, "1 + 1")
    assert stale(output) == ["its input notebook (n.ipynb) has changed"]


def test_what_it_writes_again_as_it_was_is_no_input(tmp_path):
    """A second run leaves its table equal to the bit."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.tsv").write_text("a")
    cell = (
        "from mmssl.ledger import paths\n"
        "(paths.project(source) / 'table.tsv').write_text('a')"
    )
    notebook = _notebook(tmp_path / "n.ipynb", cell)
    output = tmp_path / "out" / "n.ipynb"
    done = _call(notebook, output, "-r", "source", "results")
    assert done.returncode == 0, done.stderr
    assert set(read_sidecar(output)["inputs"]) == {"notebook"}


@pytest.mark.parametrize(
    ("objective", "reached"), [("CCA", {"correlation"}), ("Mine", None)]
)
def test_terms_of_other_objectives_have_no_part(tmp_path, objective, reached):
    """But where one is unknown, as a user's own may be: then all have."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    source = _notebook(
        tmp_path / "n.ipynb",
        "from mmssl import objectives\nobjectives.build",
        parameters='asked: str = "CR"  # objective',
    )
    notebook = nbformat.read(source, as_version=4)
    notebook.metadata["page"] = {"after": [], "objective": "asked"}
    nbformat.write(notebook, source)
    executed = tmp_path / "out.ipynb"
    execute.execute(source, executed, {"asked": objective})
    terms = {"contrastive", "correlation", "generative", "preservation"}
    terms = {f"mmssl.objectives.{name}" for name in terms}
    found = terms & set(read_sidecar(executed)["code"])
    if reached:
        assert found == {f"mmssl.objectives.{name}" for name in reached}
    else:
        assert found == terms
    assert stale(executed) == []


def test_a_failed_run_is_kept_for_reading_only(tmp_path):
    notebook = _notebook(
        tmp_path / "n.ipynb",
        "print('before')",
        "raise OSError('no disk')",
        "1",
    )
    output = tmp_path / "n.out.ipynb"
    done = _call(notebook, output)
    assert done.returncode == 1
    assert "no disk" in done.stderr and "failed.ipynb" in done.stderr
    kept = tmp_path / "n.out.failed.ipynb"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n.ipynb", kept.name]
    assert "before" in json.dumps(json.loads(kept.read_text()))


@pytest.mark.parametrize("value", ["inf", "nan", "1e999"])
def test_a_number_that_is_not_finite_leaves_no_trace(tmp_path, capsys, value):
    notebook = _notebook(tmp_path / "n.ipynb", "1 / 0")
    given = ["-p", "rate", value]
    assert execute.main([str(notebook), f"{tmp_path}/o.ipynb", *given]) == 2
    message = capsys.readouterr().err
    assert "rate: found" in message and "expected a finite number" in message
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rate: [1", "not YAML in UTF-8"),
        (b"a: b: c", "not YAML in UTF-8"),
        ("source: M\u00fcller".encode("latin-1"), "not YAML in UTF-8"),
        (b"- 1", "found list, expected a mapping"),
        (b"", "found NoneType, expected a mapping"),
    ],
)
def test_a_broken_file_of_parameters_is_named(
    tmp_path, capsys, content, message
):
    notebook = _notebook(tmp_path / "n.ipynb", "1 / 0")
    (tmp_path / "p.yaml").write_bytes(content)
    given = ["-f", str(tmp_path / "p.yaml")]
    assert execute.main([str(notebook), f"{tmp_path}/o.ipynb", *given]) == 2
    assert f"p.yaml: {message}" in capsys.readouterr().err


def test_a_folder_in_place_of_a_file_of_parameters_is_named(tmp_path, capsys):
    notebook = _notebook(tmp_path / "n.ipynb", "1 / 0")
    given = ["-f", str(tmp_path)]
    assert execute.main([str(notebook), f"{tmp_path}/o.ipynb", *given]) == 2
    assert f"{tmp_path}: not YAML in UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", "M\u00fcller"])
def test_what_is_no_notebook_is_named(tmp_path, capsys, content):
    (tmp_path / "n.ipynb").write_text(content, encoding="latin-1")
    paths = [f"{tmp_path}/n.ipynb", f"{tmp_path}/o.ipynb"]
    assert execute.main(paths) == 2
    assert "n.ipynb: not a notebook of format 4" in capsys.readouterr().err


def test_the_source_is_never_overwritten(tmp_path, capsys):
    notebook = _notebook(tmp_path / "n.failed.ipynb", "1 / 0")
    before = notebook.read_bytes()
    (tmp_path / "link.ipynb").symlink_to(notebook)
    (tmp_path / "folder.ipynb").mkdir()
    for name in (notebook.name, "link.ipynb", "n.ipynb"):
        assert execute.main([str(notebook), str(tmp_path / name)]) == 2
        assert "is the notebook itself" in capsys.readouterr().err
    assert execute.main([str(notebook), f"{tmp_path}/folder.ipynb"]) == 2
    assert "folder.ipynb: is a folder" in capsys.readouterr().err
    assert notebook.read_bytes() == before


def test_braces_in_a_path_are_part_of_its_name(tmp_path):
    folder = tmp_path / "{seed} {0} {"
    folder.mkdir()
    notebook = _notebook(folder / "n{x}.ipynb", "print(epochs)")
    output = folder / "out{epochs}.ipynb"
    execute.execute(notebook, output, {"epochs": 3})
    assert "3" in output.read_text()
    assert read_sidecar(output)["parameters"]["epochs"] == 3


def test_a_run_that_nothing_can_vouch_for_leaves_no_trace(
    tmp_path, monkeypatch
):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(execute, "write_sidecar", fail)
    notebook = _notebook(tmp_path / "n.ipynb", "1")
    with pytest.raises(OSError, match="disk full"):
        execute.execute(notebook, tmp_path / "o.ipynb", {})
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


def test_a_run_that_is_ended_while_it_is_recorded_leaves_no_trace(
    tmp_path, monkeypatch
):
    """Its inputs are hashed once more, which may take minutes."""
    notebook = _notebook(tmp_path / "n.ipynb", "1")
    made = execute._states

    def end(*arguments):
        if (tmp_path / "o.ipynb").exists():
            # nobody else may begin it meanwhile
            assert locks.lock_of(tmp_path / "o.ipynb").exists()
            raise SystemExit(143)
        return made(*arguments)

    monkeypatch.setattr(execute, "_states", end)
    with pytest.raises(SystemExit):
        execute.execute(notebook, tmp_path / "o.ipynb", {})
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        (None, None),
        ("", 0),
        ("NoDevFiles", 0),
        ("-1", 0),
        ("0", 1),
        ("2,3", 2),
    ],
)
def test_the_gpus_of_a_cluster_are_on_record(monkeypatch, visible, gpus):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert execute._visible_gpus() == gpus


def test_the_memory_of_its_largest_process_is_on_record(tmp_path):
    """A kernel that fills 600 MB; a small one, its runner's at least."""
    peaks = []
    for name, megabytes in (("small", 0), ("large", 600)):
        cell = f"filled = b'x' * ({megabytes} * 2**20)"
        notebook = _notebook(tmp_path / f"{name}.ipynb", cell)
        output = tmp_path / f"{name}.out.ipynb"
        done = _call(notebook, output)
        assert done.returncode == 0, done.stderr
        peaks.append(read_sidecar(output)["facts"]["peak_memory_mb"])
    assert 20 < peaks[0] < 300 and 620 < peaks[1] < 800


def test_memory_that_an_earlier_run_may_have_taken_is_not_told(monkeypatch):
    monkeypatch.setattr(execute, "_children_megabytes", lambda: 300)
    assert execute._peak_since(299) == 300
    assert execute._peak_since(300) is None


@pytest.mark.parametrize("recorded", [["source"], []])
def test_a_folder_with_a_record_of_its_own_is_not_hashed(tmp_path, recorded):
    """A page may add to it, and a dataset may hold terabytes."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mmssl"\n')
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "image").write_text("voxels")
    path = _notebook(tmp_path / "n.ipynb", "1")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["page"] = {"after": [], "recorded": recorded}
    nbformat.write(notebook, path)
    output = tmp_path / "out.ipynb"
    execute.execute(path, output, {"source": "dataset"})
    assert ("source" in read_sidecar(output)["inputs"]) == (not recorded)


SHARED = """\
import os
from mmssl.pretrain import processes
with processes.together():
    ranks = processes.of_all(processes.rank())
processes.leave_the_rest_to_the_first()
with open(source, "x") as file:
    file.write(str(ranks))
"""


def _in_two_processes(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--no-python", sys.executable]
    command += [RUNNER, *arguments]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=300
    )


def test_a_notebook_is_one_of_two_processes_and_the_first_writes(tmp_path):
    notebook = _notebook(tmp_path / "n.ipynb", SHARED)
    output = tmp_path / "out" / "n.ipynb"
    done = _in_two_processes(
        notebook, output, "-p", "source", tmp_path / "told.txt"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "told.txt").read_text() == "[0, 1]"
    left = {p.name for p in output.parent.iterdir()}
    assert left == {"n.ipynb", "n.ipynb.json"}


@pytest.mark.slow
def test_a_second_process_that_fails_ends_the_first_and_is_kept(tmp_path):
    failing = SHARED.replace(
        "ranks = ",
        "assert processes.is_first(), 'the second card is lost'\n    ranks = ",
    )
    notebook = _notebook(tmp_path / "n.ipynb", failing)
    output = tmp_path / "n2.ipynb"
    done = _in_two_processes(
        notebook, output, "-p", "source", tmp_path / "told.txt"
    )
    assert done.returncode != 0
    assert "the second card is lost" in done.stderr
    kept = (tmp_path / "n2.rank1.failed.ipynb").read_text()
    assert "the second card is lost" in kept
    assert not output.exists() and not (tmp_path / "told.txt").exists()
