"""Run one notebook with parameters, as a function that either succeeds or
leaves no trace.

    python notebooks/execute.py NOTEBOOK OUTPUT
        [-p NAME VALUE]... [-r NAME TEXT]... [-f FILE.yaml]

The spelling is papermill's. Unlike papermill, it refuses an unknown name or a
value of the wrong type (exit 2, nothing written), runs under a temporary name,
and renames only what succeeded. A notebook that failed is kept for reading as
``OUTPUT.failed.ipynb`` (exit 1). Beside a finished one lies its provenance,
``OUTPUT.json`` (see `mmssl.ledger.sidecars`).
"""

import argparse
import ast
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pages
import papermill
import yaml
from ipykernel.kernelspec import write_kernel_spec
from nbclient.exceptions import DeadKernelError
from papermill.cli import _resolve_type as parse
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from mmssl.ledger import atomic, locks, paths, places
from mmssl.ledger.code import imports
from mmssl.ledger.hashes import hash_path
from mmssl.ledger.sidecars import write_sidecar

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list}


class ParameterError(ValueError):
    """A notebook's parameters, or the values given for them, are wrong."""


@dataclass(frozen=True)
class Parameter:
    """One line ``name: type = default  # meaning, unit`` of a parameters
    cell.
    """

    name: str
    annotation: str
    default: Any
    help: str

    @property
    def optional(self) -> bool:
        """Whether None is allowed."""
        alternatives = self.annotation.replace("|", " ").split()
        return self.default is None or "None" in alternatives

    def accept(self, value: Any) -> Any:
        """Return `value` if it has the annotated type; an int for a float
        becomes a float.

        Raises
        ------
        ParameterError
            Naming the parameter, the value, its type and the expected type;
            also for a number that is not finite, alone or in a list.
        """
        expected = TYPES[_type_name(self.annotation)]
        if value is None and self.optional:
            return None
        if expected is float and type(value) is int:
            return float(value)
        if not _is_finite(value):
            raise ParameterError(
                f"{self.name}: found {value!r}, expected a finite number; "
                f"{self.help}"
            )
        if type(value) is not expected:
            or_none = " or None" if self.default is None else ""
            raise ParameterError(
                f"{self.name}: found {value!r} ({type(value).__name__}), "
                f"expected {self.annotation}{or_none}; {self.help}"
            )
        return value


def read_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook, in order.

    Read with Python's own parser: papermill's reader is a regular expression
    that silently drops ``float | None``.

    Parameters
    ----------
    notebook : path
        A notebook with exactly one cell tagged ``parameters``.

    Returns
    -------
    dict of str to Parameter

    Raises
    ------
    ParameterError
        When it is no notebook, or the cell is missing or holds anything but
        annotated, explained literals.
    """
    notebook = Path(notebook)
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        nbformat.ValidationError,
    ) as error:
        raise ParameterError(
            f"{notebook.name}: not a notebook of format 4 ({error})"
        ) from error
    tagged = []
    for cell in cells:
        if "parameters" in cell.metadata.get("tags", ()):
            tagged.append(cell.source)
    if len(tagged) != 1:
        raise ParameterError(
            f"{notebook.name}: {len(tagged)} cells tagged parameters, "
            "expected 1"
        )
    lines = tagged[0].splitlines()
    parameters = {}
    for statement in ast.parse(tagged[0]).body:
        parameter = _read_line(statement, lines, notebook.name)
        parameters[parameter.name] = parameter
    return parameters


def resolve(notebook: str | Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a notebook: its defaults, replaced by the
    checked `values`.

    Raises
    ------
    ParameterError
        As `accepted`.
    """
    return accepted(read_parameters(notebook), values, Path(notebook).name)


def accepted(
    known: Mapping[str, Parameter], values: Mapping[str, Any], notebook: str
) -> dict[str, Any]:
    """Return the defaults of parameters, replaced by the checked `values`.

    Parameters
    ----------
    known : mapping of str to Parameter
        From `read_parameters`.
    values : mapping
        Those that differ.
    notebook : str
        Its name, for the message.

    Raises
    ------
    ParameterError
        When a name is unknown, a value has the wrong type, or the edition's
        name cannot be that of a folder.
    """
    for name in values:
        if name not in known:
            raise ParameterError(
                f"{notebook} has no parameter {name!r}; it has "
                f"{', '.join(known)}"
            )
    resolved = {}
    for name, parameter in known.items():
        resolved[name] = parameter.default
        if name in values:
            resolved[name] = parameter.accept(values[name])
    try:
        # folders are named after it
        pages.check_name(resolved.get("edition", "none"), "edition")
    except pages.PageError as error:
        raise ParameterError(f"{notebook}: {error}") from error
    return resolved


def execute(
    notebook: str | Path, output: str | Path, values: Mapping[str, Any]
) -> Path:
    """Run a notebook and write it, with its sidecar, when it succeeded.

    Parameters
    ----------
    notebook, output : path
        Source and executed copy, both ``.ipynb``.
    values : mapping
        Parameters that differ from the notebook's defaults.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    ParameterError
        Before anything runs; also where the output, or what a failure would
        leave, is the notebook itself or a folder.
    mmssl.ledger.locks.LockedError
        When another process is making this output, but for those that
        torchrun started together: of them the first alone writes.
    papermill.exceptions.PapermillExecutionError
        When a cell failed; the notebook is then kept as
        ``<output>.failed.ipynb``.
    """
    notebook, output = Path(notebook), Path(output)
    parameters = resolve(notebook, values)
    failed = output.with_suffix(".failed.ipynb")
    _check_output(notebook, output, failed)
    root = paths.root(notebook.resolve().parent)
    changed = {name: parameters[name] for name in values}
    if _rank() > 0:
        _help(notebook, output, changed, root)
        return output
    recorded = own_records(notebook)
    read = {n: v for n, v in parameters.items() if n not in recorded}
    before = _states(read, root)
    started = time.perf_counter()
    processor_started = _children_seconds()
    memory_before = _children_megabytes()
    with locks.owned(output):
        with atomic.file(output) as temporary, _own_kernel():
            try:
                _run(notebook, temporary, changed, root)
            except (PapermillExecutionError, DeadKernelError):
                _take_places_out(temporary, root)
                os.replace(temporary, failed)
                raise
            _take_places_out(temporary, root)
        try:
            failed.unlink(missing_ok=True)
            processor_seconds = _children_seconds() - processor_started
            facts = {
                "edition": parameters.get("edition"),
                "seconds": round(time.perf_counter() - started, 1),
                "processor_seconds": round(processor_seconds, 1),
                "peak_memory_mb": _peak_since(memory_before),
                "gpus": _visible_gpus(),
            }
            inputs = {"notebook": notebook}
            after = _states(read, root)
            for name, state in before.items():
                # what the notebook wrote itself, be it as it was, is its
                # result, not its input
                if after.get(name) == state:
                    inputs[name] = root / parameters[name]
            write_sidecar(
                output,
                inputs,
                parameters,
                parameters.get("seed"),
                modules_of(notebook),
                facts,
                unused_imports(objective_of(notebook, parameters)),
            )
        except BaseException:
            output.unlink()  # nobody could say what made it
            raise
    return output


def named_paths(parameters: Mapping[str, Any], root: Path) -> dict[str, Path]:
    """Return the files and folders that parameters name and that are there:
    what a notebook may read, and what its record says it read.
    """
    found = {}
    for name, value in parameters.items():
        # a long text is no path, and the system says so with an error
        if isinstance(value, str) and value and os.path.exists(root / value):
            found[name] = root / value
    return found


def own_records(notebook: str | Path) -> list[str]:
    """Return the parameters of folders whose files carry hashes of their own:
    ``recorded`` of `pages`; none where a notebook does not say.
    """
    page = nbformat.read(notebook, as_version=4).metadata.get("page")
    return page.get("recorded", []) if isinstance(page, dict) else []


def objective_of(
    notebook: str | Path, parameters: Mapping[str, Any]
) -> str | None:
    """Return the one objective that a notebook trains with these parameters:
    ``objective`` of `pages`; None where it does not say.
    """
    page = nbformat.read(notebook, as_version=4).metadata.get("page")
    named = page.get("objective") if isinstance(page, dict) else None
    return parameters.get(named)


def unused_imports(objective: str | None) -> frozenset[tuple[str, str]]:
    """Return what the language of objectives imports for others than this one,
    for `mmssl.ledger.fingerprint`; nothing without one, or for a term that
    only its notebook knows.
    """
    if objective is None:
        return frozenset()
    from mmssl.objectives import language  # two seconds, for torch

    try:
        return language.unused_imports(objective)
    except ValueError:
        return frozenset()


def code_of(notebook: str | Path) -> list[str]:
    """Return the Python of each code cell of a notebook, without IPython's own
    commands.
    """
    sources = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            lines = cell.source.splitlines()
            python = [
                line for line in lines if line.lstrip()[:1] not in ("%", "!")
            ]
            sources.append("\n".join(python))
    return sources


def modules_of(notebook: str | Path) -> tuple[str, ...]:
    """Return the modules of mmssl that a notebook's cells import, sorted."""
    return tuple(sorted(imports("\n".join(code_of(notebook)))))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = _options().parse_args(arguments)
    try:
        values = _values(options)
        execute(options.notebook, options.output, values)
    except (
        ParameterError,
        FileNotFoundError,
        locks.LockedError,
    ) as error:
        print(f"{options.notebook}: {error}", file=sys.stderr)
        return 2
    except (PapermillExecutionError, DeadKernelError) as error:
        whose = f".rank{_rank()}" if _rank() else ""
        failed = Path(options.output).with_suffix(f"{whose}.failed.ipynb")
        print(error, file=sys.stderr)
        print(f"{options.notebook} failed; read {failed}", file=sys.stderr)
        return 1
    if _rank() == 0:
        print(options.output)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("notebook")
    parser.add_argument("output")
    pair = {"nargs": 2, "action": "append", "default": []}
    parser.add_argument(
        "-p", "--parameters", metavar=("NAME", "VALUE"), **pair
    )
    parser.add_argument(
        "-r", "--parameters_raw", metavar=("NAME", "TEXT"), **pair
    )
    parser.add_argument(
        "-f", "--parameters_file", action="append", default=[], metavar="YAML"
    )
    return parser


def _values(options: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file in options.parameters_file:
        try:
            content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeError, IsADirectoryError) as error:
            raise ParameterError(
                f"{file}: not YAML in UTF-8 ({error})"
            ) from error
        if not isinstance(content, dict):
            raise ParameterError(
                f"{file}: found {type(content).__name__}, expected a mapping"
            )
        values.update(content)
    for name, text in options.parameters:
        values[name] = parse(text)
    values.update(options.parameters_raw)
    return values


def _type_name(annotation: str) -> str:
    """``list`` of ``list[int]``, ``float`` of ``float | None``."""
    return annotation.split("|")[0].split("[")[0].strip()


def _read_line(
    statement: ast.stmt, lines: list[str], notebook: str
) -> Parameter:
    line = lines[statement.end_lineno - 1]
    if not isinstance(statement, ast.AnnAssign) or statement.value is None:
        raise ParameterError(
            f"{notebook}: {line!r} is not `name: type = default  # meaning`"
        )
    annotation = ast.unparse(statement.annotation)
    if _type_name(annotation) not in TYPES:
        raise ParameterError(
            f"{notebook}: {line!r} has a type that is none of "
            f"{', '.join(TYPES)}"
        )
    try:
        default = ast.literal_eval(statement.value)
    except ValueError:
        raise ParameterError(
            f"{notebook}: the default in {line!r} is not a literal"
        ) from None
    _, _, comment = line[statement.end_col_offset :].partition("#")
    if not comment.strip():
        raise ParameterError(
            f"{notebook}: {line!r} has no comment that says what it is"
        )
    parameter = Parameter(
        ast.unparse(statement.target), annotation, default, comment.strip()
    )
    parameter.accept(default)
    return parameter


def _is_finite(value: Any) -> bool:
    """Whether no number in a value is infinite or NaN."""
    if isinstance(value, list):
        return all(_is_finite(one) for one in value)
    return not isinstance(value, float) or math.isfinite(value)


def _check_output(notebook: Path, *outputs: Path) -> None:
    """ParameterError where writing would destroy the notebook, or fail."""
    for output in outputs:
        if output.is_dir():
            raise ParameterError(f"{output}: is a folder, expected a file")
        if output.exists() and output.samefile(notebook):
            raise ParameterError(
                f"{output}: is the notebook itself, which would be "
                "overwritten; expected another output"
            )


def _literal(path: Path) -> str:
    """A path as papermill takes it, which formats what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _run(
    notebook: Path, output: Path, values: Mapping[str, Any], root: Path
) -> None:
    papermill.execute_notebook(
        _literal(notebook),
        _literal(output),
        parameters=dict(values),
        kernel_name="python3",
        progress_bar=sys.stderr.isatty(),
        cwd=str(root),
        # what a notebook shows travels through a port of this machine
        config=Config({"KernelManager": {"transport_encryption": "required"}}),
    )


def _rank() -> int:
    """Which of the processes that torchrun started together this is."""
    return int(os.environ.get("RANK", "0"))


def _help(
    notebook: Path, output: Path, values: Mapping[str, Any], root: Path
) -> None:
    """Run a notebook as far as several processes share it; keep only what
    failed.
    """
    failed = output.with_suffix(f".rank{_rank()}.failed.ipynb")
    with tempfile.TemporaryDirectory() as folder, _own_kernel():
        executed = Path(folder) / output.name
        try:
            _run(notebook, executed, values, root)
        except (PapermillExecutionError, DeadKernelError) as error:
            # the first process goes on alone
            if getattr(error, "ename", "") != "NotFirst":
                _take_places_out(executed, root)
                failed.parent.mkdir(parents=True, exist_ok=True)
                with atomic.file(failed) as temporary:
                    shutil.copyfile(executed, temporary)
                raise
    failed.unlink(missing_ok=True)


def _take_places_out(executed: Path, root: Path) -> None:
    """Take this machine's folders out of a notebook: warnings and metadata
    name files in them.
    """
    notebook = nbformat.read(executed, as_version=4)
    hidden = f"{executed.parent.name}/"
    places.clean_notebook(notebook, root, {hidden: ""})
    nbformat.write(notebook, executed)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _children_megabytes() -> int:
    """Memory of the largest of the processes that ended."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # bytes there, kilobytes elsewhere
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def _peak_since(before: int) -> int | None:
    """Memory of the largest process since then; None where an earlier one was
    larger, so that nobody knows.
    """
    peak = _children_megabytes()
    return peak if peak > before else None


def _visible_gpus() -> int | None:
    """How many GPUs a cluster gave to this job; None where it does not say."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return None
    names = [name.strip() for name in visible.split(",")]
    # what it says of a job that has none
    return len([n for n in names if n not in ("", "-1", "NoDevFiles")])


@contextmanager
def _own_kernel() -> Iterator[None]:
    """Make ``python3`` mean this interpreter, whatever kernels and start-up
    files a user has.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_kernel_spec(Path(folder) / "kernels" / "python3")
        settings = {
            "JUPYTER_PATH": folder,
            "IPYTHONDIR": folder,
            "PYTHONHASHSEED": "0",
            # also where JupyterLab started us: menus are for its own kernels
            "JPY_SESSION_NAME": "",
        }
        previous = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield
        finally:
            for name, value in previous.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _states(
    parameters: Mapping[str, Any], root: Path
) -> dict[str, tuple[str, int]]:
    """Hash of what the notebook may read, and when it was last written."""
    states = {}
    for name, path in named_paths(parameters, root).items():
        written = [path.stat().st_mtime_ns] if path.is_file() else []
        for file in path.rglob("*"):
            if file.is_file():
                written.append(file.stat().st_mtime_ns)
        states[name] = hash_path(path), max(written, default=0)
    return states


def _end(number: int, _frame: Any) -> None:
    """End as an error does, so that the kernel and what it started end too."""
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise SystemExit(128 + number)


ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What tells a job that it ends: a cluster sends the first at its time limit,
or one that was asked for (``--signal``).
"""


if __name__ == "__main__":
    for ending in ENDINGS:
        # nohup has it ignored
        if signal.getsignal(ending) is signal.SIG_DFL:
            signal.signal(ending, _end)
    sys.exit(main())
