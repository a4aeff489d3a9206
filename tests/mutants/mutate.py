"""Whether the tests notice a wrong operator, constant or comparison.

    python tests/mutants/mutate.py stats losses
    python tests/mutants/mutate.py --skip 40 stats  # the 40 after these

Of each room a sample of mutants is drawn, always the same one of the same
code. Each mutant is one change of one expression, in a copy of the checkout.
All tests of its room may notice it; those that run the mutated function come
first, and of these those of the mutated file. A mutant that survives is either
a test that is missing or changes no result: those are listed with the reason
in `equivalent.tsv`, and count in no rate. One that timed out counts as killed
if it ends in a loop; where only the machine was busy, run it again. Tests were
written for what survived of the first 40, so the rate of those after them says
more of what the tests notice.
"""

import argparse
import ast
import csv
import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.tsv")
ROOMS = (
    "stats",
    "losses",
    "objectives",
    "similarity",
    "groupmaps",
    "ledger",
    "evaluate",
)
SAMPLE = 40  # mutants a room
LIBRARIES = (
    "nilearn.image",
    "pandas",
    "scipy.stats",
    "sklearn",
    "lightning.pytorch",
    "statsmodels.api",
    "matplotlib.pyplot",
)
PATIENCE = 60  # seconds a test has in any case
KILLED, TIMED_OUT, SURVIVED = "killed", "TIMED OUT", "SURVIVED"
SEEN = ".seen.json"  # in the copy: what the tests of a room call

OPPOSITE = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}

# messages, progress bars and what only guards: no result depends on them
UNTOUCHED = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)
UNTOUCHED_FIELDS = {"annotation", "returns", "decorator_list"}
UNTOUCHED_ARGUMENTS = {"leave", "disable", "strict"}


class Mutant(NamedTuple):
    """One change of one expression of a file: the nth such in a function."""

    file: str
    function: str
    before: str
    after: str
    nth: str
    line: int

    @property
    def key(self) -> tuple[str, ...]:
        """What names it, wherever its line has moved to."""
        return self[:5]


def mutants(file: str, source: str) -> Iterator[tuple[Mutant, ast.Module]]:
    """Every mutant of a file's source, and its tree while it is mutated."""
    tree = ast.parse(source)
    times = Counter()
    for function, node in _expressions(tree, ""):
        for name, value in _changes(node):
            before, kept = ast.unparse(node), getattr(node, name)
            setattr(node, name, value)
            change = (file, function, before, ast.unparse(node))
            times[change] += 1
            yield Mutant(*change, str(times[change]), node.lineno), tree
            setattr(node, name, kept)


def _expressions(node: ast.AST, function: str) -> Iterator:
    """Each node whose value may matter, with the name of its function."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        function = f"{function}.{node.name}".strip(".")
    yield function, node
    for field, value in ast.iter_fields(node):
        if field in UNTOUCHED_FIELDS:
            continue
        for child in value if isinstance(value, list) else [value]:
            untouched = isinstance(child, UNTOUCHED)
            if isinstance(child, ast.keyword):
                untouched = child.arg in UNTOUCHED_ARGUMENTS
            if isinstance(child, ast.AST) and not untouched:
                yield from _expressions(child, function)


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """What a node may become: one of its fields, and the field's new value."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            opposite = OPPOSITE[type(operator)]()
            yield "ops", [*node.ops[:i], opposite, *node.ops[i + 1 :]]
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        if type(node.op) in OPPOSITE:
            yield "op", OPPOSITE[type(node.op)]()
    elif isinstance(node, ast.UnaryOp):
        # twice is not at all
        yield "operand", ast.UnaryOp(node.op, node.operand)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "value", not node.value
        elif isinstance(node.value, (int, float)):
            yield "value", node.value + 1


def sample(room: str, number: int = SAMPLE, skip: int = 0) -> list[Mutant]:
    """The mutants of a room with the smallest hashes, after those that are
    skipped: a change of code replaces few of them.
    """
    found = []
    for path in sorted((ROOT / "mmssl" / room).rglob("*.py")):
        if path.name != "__init__.py":
            file = path.relative_to(ROOT).as_posix()
            source = path.read_text(encoding="utf-8")
            found += [mutant for mutant, _ in mutants(file, source)]
    return sorted(found, key=_hash)[skip : skip + number]


def _hash(mutant: Mutant) -> str:
    return hashlib.sha256(repr(mutant.key).encode()).hexdigest()


def own_tests_first(file: str) -> list[str]:
    """The test files of a file's room, those of its own name first."""
    path = Path(file)
    folder = ROOT / "tests" / path.relative_to("mmssl").parts[0]
    found = sorted(folder.glob("test_*.py"))
    own = [test for test in found if test.stem.endswith(path.stem)]
    others = [test for test in found if test not in own]
    return [test.relative_to(ROOT).as_posix() for test in own + others]


class Seen:
    """Keeps, while tests run unmutated, which functions each one calls and
    how many seconds it takes.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.functions: dict[str, list[tuple[str, str]]] = {}
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator:
        """Keep what a test and its fixtures call in this process."""
        codes, start = set(), time.monotonic()

        def see(frame, event, _):
            if event == "call":
                codes.add(frame.f_code)

        sys.setprofile(see)
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            self.seconds[item.nodeid] = time.monotonic() - start
            called = set()
            for code in codes:
                file = self._file(code)
                if file:
                    called.add((file, code.co_qualname))
            self.functions[item.nodeid] = sorted(called)

    def _file(self, code: CodeType) -> str:
        """The file of a function of the package; of a library's, nothing."""
        path = Path(code.co_filename)
        if path.is_relative_to(self.folder / "mmssl"):
            return path.relative_to(self.folder).as_posix()
        return ""

    def pytest_sessionfinish(self) -> None:
        """Leave it where the process that started this one finds it."""
        found = {"functions": self.functions, "seconds": self.seconds}
        text = json.dumps(found)
        (self.folder / SEEN).write_text(text, encoding="utf-8")


class AllBut:
    """Leaves some tests out, runs the others of each file from the shortest
    on, and ends the process when one takes far longer than unmutated.
    """

    def __init__(self, left_out: set[str], seconds: dict[str, float]):
        self.left_out = left_out
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave tests out of what was collected, and order the others."""
        items[:] = [one for one in items if one.nodeid not in self.left_out]
        files = list(dict.fromkeys(one.path for one in items))
        seconds = self.seconds
        items.sort(
            key=lambda one: (
                files.index(one.path),
                seconds.get(one.nodeid, 0),
            )
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator:
        """Give a test five times its time, and some for its fixtures."""
        usual = self.seconds.get(item.nodeid, 0)
        signal.alarm(PATIENCE + int(5 * usual))
        try:
            return (yield)
        finally:
            signal.alarm(0)


def calling(mutant: Mutant, functions: dict[str, list]) -> set[str]:
    """The tests that call a mutant's function: what is mutated in the body of
    a class, any of its methods; outside of all, any function of the file.
    """
    within = f"{mutant.function}.".lstrip(".")
    return {
        test
        for test, called in functions.items()
        for file, name in called
        if file == mutant.file
        and f"{name}.".replace(".<locals>", "").startswith(within)
    }


class Copy:
    """A copy of the checkout, in which files are mutated one at a time."""

    def __init__(self, folder: Path):
        self.folder = folder
        left_out = shutil.ignore_patterns(
            "__pycache__", ".*", "data", "figures", "_build", "executed"
        )
        shutil.copytree(ROOT, folder, ignore=left_out, dirs_exist_ok=True)

    def seen(self, room: str) -> dict:
        """What each test of a room calls, and its seconds. The tests pass on
        the code as mutants are written, of which no operator is changed.
        """
        tests = own_tests_first(f"mmssl/{room}/__init__.py")
        for path in (self.folder / "mmssl" / room).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            path.write_text(ast.unparse(tree), encoding="utf-8")
            # the bytecode of the same second would serve a mutant, too
            os.utime(path, (0, 0))
        if self._status(tests, Seen(self.folder)) != 0:
            sys.exit(f"{tests}: they fail before anything is mutated")
        return json.loads((self.folder / SEEN).read_text(encoding="utf-8"))

    def fate(self, mutant: Mutant, seen: dict) -> str:
        """Whether the tests pass on the mutant, fail, or take too long."""
        path = self.folder / mutant.file
        kept = path.read_text(encoding="utf-8")
        for found, tree in mutants(mutant.file, kept):
            if found.key == mutant.key:
                path.write_text(ast.unparse(tree), encoding="utf-8")
        seconds = seen["seconds"]
        first = calling(mutant, seen["functions"])
        others = set(seconds) - first
        try:
            for tests, left_out in ((first, others), (others, first)):
                files = {test.split("::")[0] for test in tests}
                found = [f for f in own_tests_first(mutant.file) if f in files]
                if not found:
                    continue
                status = self._status(found, AllBut(left_out, seconds))
                if status == -signal.SIGALRM:
                    return TIMED_OUT
                if status == pytest.ExitCode.NO_TESTS_COLLECTED:
                    sys.exit(f"{mutant}: no test of {found} ran")
                if status != 0:
                    return KILLED
            return SURVIVED
        finally:
            path.write_text(kept, encoding="utf-8")

    def _status(self, tests: list[str], plugin: object) -> int:
        """How tests end, in a process that has the libraries already: 0 when
        they pass, less when a signal ended them.
        """
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=self._run, args=(tests, plugin))
        process.start()
        process.join()
        return process.exitcode

    def _run(self, tests: list[str], plugin: object) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        os.environ["PYTHONPATH"] = str(self.folder)
        # bytecode of the code as it is serves all; a mutant leaves none
        sys.dont_write_bytecode = not isinstance(plugin, Seen)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        arguments = ["-x", "-q", "-m", "not slow", *tests]
        os._exit(pytest.main(arguments, plugins=[plugin]))


def equivalent_mutants() -> dict[tuple[str, ...], str]:
    """Reasons why a mutant changes no result, by its key."""
    with EQUIVALENT.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {tuple(line[:5]): line[5] for line in list(lines)[1:]}


def measure(room: str, copy: Copy, skip: int = 0) -> tuple[int, int]:
    """Print what becomes of each mutant of a room; killed ones, and all that
    could be.
    """
    equivalent = equivalent_mutants()
    seen = copy.seen(room)
    killed, counted = 0, 0
    for mutant in sample(room, skip=skip):
        if mutant.key in equivalent:
            continue
        counted += 1
        fate = copy.fate(mutant, seen)
        killed += fate != SURVIVED
        change = f"{mutant.before} -> {mutant.after}"
        print(f"{fate} {mutant.file}:{mutant.line} {change}", flush=True)
    return killed, counted


def main() -> None:
    """Print the fate of every mutant and the kill rate of each room."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rooms", nargs="*", help=f"some of {ROOMS}, or all")
    parser.add_argument(
        "--skip", type=int, default=0, help="mutants of each room"
    )
    options = parser.parse_args()
    rooms, skip = options.rooms, options.skip
    unknown = set(rooms) - set(ROOMS)
    if unknown:
        sys.exit(f"rooms {sorted(unknown)}: expected some of {ROOMS}")
    # what most tests need, loaded once; never the package itself
    for library in LIBRARIES:
        importlib.import_module(library)
    import torch
    from hypothesis import settings

    torch.set_num_threads(1)
    # the same examples for each mutant, however busy the machine is
    settings.register_profile("mutants", deadline=None, derandomize=True)
    settings.load_profile("mutants")
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for room in rooms or ROOMS:
            rates[room] = measure(room, copy, skip)
    killed, counted = map(sum, zip(*rates.values(), strict=True))
    rates["all"] = (killed, counted)
    for room, (killed, counted) in rates.items():
        print(f"{room}: {killed} of {counted} killed, {killed / counted:.1%}")


if __name__ == "__main__":
    main()
