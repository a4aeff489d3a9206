"""What counts as a mutant, and that the sample is one of the code as it is."""

import ast

from mutate import (
    ROOMS,
    ROOT,
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


def test_own_tests_come_first():
    tests = own_tests_first("mmssl/stats/power.py")
    assert tests[0] == "tests/stats/test_power.py"
    assert len(tests) == len(list((ROOT / "tests/stats").glob("test_*.py")))


def test_mutants_called_equivalent_still_exist():
    known = set()
    for room in ROOMS:
        known |= {mutant.key for mutant in sample(room)}
    reasons = equivalent_mutants()
    assert set(reasons) <= known and all(reasons.values())
