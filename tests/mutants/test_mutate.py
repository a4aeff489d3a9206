"""What counts as a mutant, and that the sample is one of the code as it is."""

import ast
import subprocess
import sys
from pathlib import Path

import mutate
from mutate import (
    ROOMS,
    ROOT,
    SAMPLE,
    Mutant,
    calling,
    equivalent_mutants,
    mutants,
    own_tests_first,
    sample,
)

SOURCE = '''
def f(x: int = 2) -> float:
    """Text with 3 words."""
    if not x > 1 or x is None:
        raise ValueError(f"x is {x + 1}")
    return tqdm(-x * 0.5, leave=False)
'''


def test_every_operator_and_number_of_a_result_has_its_mutant():
    found = {(m.before, m.after) for m, _ in mutants("file.py", SOURCE)}
    assert found == {
        ("2", "3"),
        ("not x > 1 or x is None", "not x > 1 and x is None"),
        ("not x > 1", "not not x > 1"),
        ("x > 1", "x >= 1"),
        ("1", "2"),
        ("x is None", "x is not None"),
        ("-x * 0.5", "-x / 0.5"),
        ("-x", "--x"),
        ("0.5", "1.5"),
    }


def test_a_mutant_is_one_change_of_the_source():
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant, tree in mutants("file.py", SOURCE):
        changed = ast.unparse(tree).splitlines()
        differ = [a != b for a, b in zip(plain, changed, strict=True)]
        assert sum(differ) == 1 and mutant.function == "f"


def test_the_sample_repeats_and_every_room_has_one():
    for room in ROOMS:
        keys = [mutant.key for mutant in sample(room)]
        assert len(keys) == 40
        assert keys == [mutant.key for mutant in sample(room)]
    assert sample("losses", 3) == sample("losses")[:3]
    assert sample("losses", 3, skip=2) == sample("losses")[2:5]


def test_own_tests_come_first():
    tests = own_tests_first("mmssl/stats/power.py")
    assert tests[0] == "tests/stats/test_power.py"
    assert len(tests) == len(list((ROOT / "tests/stats").glob("test_*.py")))


def test_the_tests_that_call_what_is_mutated_are_known():
    called = {
        "one": [["a.py", "f"], ["a.py", "Own.f"]],
        "two": [["a.py", "f.<locals>.inner"], ["b.py", "g"]],
        "three": [["a.py", "further"]],
    }
    expected = {"f": {"one", "two"}, "Own": {"one"}, "f.inner": {"two"}}
    for function, tests in {**expected, "": set(called)}.items():
        mutant = Mutant("a.py", function, "1", "2", "1", 3)
        assert calling(mutant, called) == tests


LINES = "mmssl/stats/lines.py"
HOUSE = {
    "mmssl/__init__.py": "",
    "mmssl/stats/__init__.py": "",
    LINES: """
def area(width, height):
    return width * height

def emptied(n):
    while n:
        n -= n
    return n

def untested(x):
    return x % 7
""",
    "tests/stats/test_lines.py": """
from mmssl.stats.lines import area, untested
def test_area():
    assert area(3, 4) == 12
def test_of_nothing():
    untested(3)
""",
    "tests/stats/test_others.py": """
from mmssl.stats.lines import emptied
def test_emptied():
    assert emptied(3) == 0
""",
}

MEASURED = """
import sys
from pathlib import Path
import mutate
mutate.ROOT, mutate.PATIENCE = Path(sys.argv[1]), 1
print(mutate.measure("stats", mutate.Copy(Path(sys.argv[2]))))
"""


def test_what_no_test_notices_survives_and_what_never_ends_does_not(tmp_path):
    root, copy = tmp_path / "house", tmp_path / "copy"
    for name, source in HOUSE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, root, copy],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(mutate.__file__).parent,
    )
    *fates, rate = done.stdout.splitlines()
    assert rate == "(2, 4)"
    changes = {"SURVIVED": set(), "killed": set(), "TIMED OUT": set()}
    for line in fates:
        fate, change = line.split(f" {LINES}:")
        changes[fate].add(change.split(" ", 1)[1])
    assert changes["SURVIVED"] == {"7 -> 8", "x % 7 -> x * 7"}
    assert changes["killed"] == {"width * height -> width / height"}
    assert changes["TIMED OUT"] == {"n -= n -> n += n"}
    for name, source in HOUSE.items():
        kept = (copy / name).read_text()
        assert ast.dump(ast.parse(kept)) == ast.dump(ast.parse(source))


def test_mutants_called_equivalent_still_exist():
    known = set()
    for room in ROOMS:
        known |= {mutant.key for mutant in sample(room, 2 * SAMPLE)}
    reasons = equivalent_mutants()
    assert set(reasons) <= known and all(reasons.values())
