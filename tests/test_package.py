"""The package as a whole: it loads lazily, its public names stay, it is
documented, and its lines can be read.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmssl

ROOT = Path(mmssl.__file__).parents[1]
PACKAGE = sorted((ROOT / "mmssl").rglob("*.py"))
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
BOOK = sorted((ROOT / "book").glob("*.py"))
BOOK += sorted((ROOT / "book" / "claims").glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

RELIED_ON = (
    "objectives.parse",
    "objectives.build",
    "objectives.View",
    "objectives.Batch",
    "models.Encoder",
    "models.Decoder",
    "models.ConvolutionalHead",
    "losses.info_nce",
    "losses.canonical_correlation",
    "losses.importance_weighted_bound",
    "similarity.cka",
    "similarity.cca",
    "similarity.svcca",
    "similarity.pwcca",
    "similarity.measures",
    "saliency.smoothgrad",
    "groupmaps.rank_biserial",
    "groupmaps.max_statistic_test",
    "preprocessing.falff",
    "preprocessing.fit_landmarks",
    "preprocessing.standardised",
    "preprocessing.motion.realign",
    "robustness.PARAMETER_SPACES",
    "robustness.distort",
    "cohorts.make_phantom",
    "cohorts.load",
    "pretrain.fit",
    "pretrain.embed",
)
"""What others rely on after ``import mmssl``."""

FUNCTIONS_NAMED_LIKE_FILES = (
    "mmssl.groupmaps.clusters",
    "mmssl.groupmaps.freedman_lane",
    "mmssl.groupmaps.overlap",
    "mmssl.preprocessing.falff",
    "mmssl.pretrain.fit",
    "mmssl.robustness.sweep",
    "mmssl.saliency.smoothgrad",
    "mmssl.similarity.measures",
    "mmssl.stats.calibration",
)

OTHER_WORDS = re.compile(
    r"\b(courts?|rivals?|hearings?|exhibits?|forgotten|forgetful|forgetting"
    r"|floors|undefended)\b",
    re.IGNORECASE,
)
"""baselines, sanity checks, null maps and parameter randomisation are the
field's.
"""

MEAN_LENGTH = 44  # characters of a non-blank line
LONG = 95  # characters
SHARE_OF_LONG = 0.01
FUNCTION_LINES = 60  # without the docstring


def _python(code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _name(file):
    return str(file.relative_to(ROOT))


def undocumented(source):
    """Return the public classes, functions and methods without docstring."""
    tree = ast.parse(source)
    bare = [] if ast.get_docstring(tree) else ["the module itself"]
    owners = [tree]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            owners.append(node)
    for owner in owners:
        for node in owner.body:
            kinds = ast.FunctionDef | ast.ClassDef
            if isinstance(node, kinds) and node.name[0] != "_":
                if not ast.get_docstring(node):
                    bare.append(node.name)
    return bare


def long_functions(source):
    """Return the functions of too many lines, their docstring not counted."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) and len(node.body) > 1
            first = node.body[1] if documented else node.body[0]
            if node.end_lineno - first.lineno >= FUNCTION_LINES:
                names.append(node.name)
    return names


def swallowed(source):
    """Return the lines that catch every error or silence a warning."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            lines.append(node.lineno)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            words = [ast.unparse(argument) for argument in node.args]
            filtering = name in ("simplefilter", "filterwarnings")
            if filtering and "'ignore'" in words:
                lines.append(node.lineno)
    return lines


def line_lengths(sources):
    """Return the mean length of a non-blank line, and the share of long
    ones.
    """
    lengths = []
    for source in sources:
        for line in source.splitlines():
            if line.strip():
                lengths.append(len(line))
    too_long = [length for length in lengths if length > LONG]
    return sum(lengths) / len(lengths), len(too_long) / len(lengths)


def other_words(source):
    """Return the words that the house has given up for words of the field."""
    return OTHER_WORDS.findall(source)


def test_import_is_light():
    heavy = "{'torch', 'numpy', 'matplotlib', 'pandas'}"
    code = f"import mmssl, sys; print({heavy} & set(sys.modules))"
    assert _python(code) == "set()"


def test_unknown_attribute_and_listing():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mmssl.nothing  # noqa: B018
    listed = {"losses", "models", "cohorts", "ledger", "__version__"}
    assert listed <= set(dir(mmssl))


def test_what_others_rely_on_comes_by_attribute():
    found = _python(
        "import mmssl, operator, json\n"
        "found = {}\n"
        f"for name in {RELIED_ON!r}:\n"
        "    value = operator.attrgetter(name)(mmssl)\n"
        "    found[name] = type(value).__name__\n"
        "print(json.dumps(found))"
    )
    kinds = json.loads(found)
    assert list(kinds) == list(RELIED_ON)
    assert "module" not in kinds.values()
    missing = "import mmssl, operator; operator.attrgetter('losses.x')(mmssl)"
    with pytest.raises(subprocess.CalledProcessError):
        _python(missing)


def test_an_attribute_named_like_a_file_is_the_function():
    """Where a room hands on a function named like its file, the attribute is
    the function, also after the files of all rooms were imported.
    """
    named_like_files = {}
    for file in PACKAGE:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        room = file.with_name("__init__.py").read_text()
        if f'"{file.stem}",' in room:
            named_like_files[module] = file.stem
    assert set(FUNCTIONS_NAMED_LIKE_FILES) <= set(named_like_files)
    wrong = _python(
        "import importlib, json\n"
        "wrong = []\n"
        f"modules = {named_like_files!r}\n"
        "for module in modules:\n"
        "    importlib.import_module(module)\n"
        "for module, name in modules.items():\n"
        "    room = importlib.import_module(module.rpartition('.')[0])\n"
        "    if not callable(getattr(room, name)):\n"
        "        wrong.append(module)\n"
        "print(json.dumps(wrong))"
    )
    assert json.loads(wrong) == []


@pytest.mark.parametrize("file", PACKAGE + SCRIPTS + BOOK, ids=_name)
def test_public_functions_are_documented(file):
    assert undocumented(file.read_text()) == []


@pytest.mark.parametrize("file", PACKAGE + SCRIPTS + BOOK, ids=_name)
def test_functions_stay_short(file):
    assert long_functions(file.read_text()) == []


@pytest.mark.parametrize("file", PACKAGE + SCRIPTS + BOOK, ids=_name)
def test_no_error_is_swallowed_and_no_warning_silenced(file):
    assert swallowed(file.read_text()) == []


@pytest.mark.parametrize(
    "files",
    [PACKAGE, BOOK + SCRIPTS, TESTS],
    ids=["package", "book and scripts", "tests"],
)
def test_lines_can_be_read(files):
    mean, share = line_lengths(file.read_text() for file in files)
    assert mean <= MEAN_LENGTH
    assert share <= SHARE_OF_LONG


def test_each_of_these_checks_can_fail():
    source = '"""A module."""\n\n\nclass A:\n    def b(self): ...\n'
    assert undocumented(source) == ["A", "b"]
    body = "    x = 1\n" * FUNCTION_LINES
    assert long_functions(f"def f():\n{body}") == []
    assert long_functions(f"def f():\n{body}    x = 1\n") == ["f"]
    assert swallowed("try:\n    x\nexcept:\n    y") == [3]
    silenced = "import warnings\nwarnings.simplefilter('ignore')"
    assert swallowed(silenced) == [2]
    assert other_words("a rival of the Court; np.floor") == ["rival", "Court"]
    assert line_lengths(["a" * 10 + "\n\n" + "b" * 96]) == (53.0, 0.5)


def test_the_words_of_the_house():
    """What has a word of the field has no other word beside it."""
    files = [*PACKAGE, *SCRIPTS, *BOOK, *TESTS]
    for pattern in ("*.md", "config/*.yaml", "book/*.md"):
        files += sorted(ROOT.glob(pattern))
    for file in files:
        # the changelog says what things were called before
        if file.name not in ("CHANGELOG.md", Path(__file__).name):
            assert other_words(file.read_text()) == [], file
    for file in sorted(ROOT.glob("notebooks/*.ipynb")):
        for cell in json.loads(file.read_text())["cells"]:
            assert other_words("".join(cell["source"])) == [], file


def test_no_absolute_path_of_somebodys_machine_is_committed():
    pattern = r"(^|[^A-Za-z])/(home|Users|root|work)/[A-Za-z]"
    done = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == []


def test_no_two_test_files_have_one_name():
    """pytest would collect one of them alone."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()
