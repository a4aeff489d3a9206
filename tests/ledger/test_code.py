"""Fingerprints of code against Python's own importer."""

import subprocess
import sys

import pytest

from mmssl.ledger import code
from mmssl.ledger.code import fingerprint, imports, source_of

# every room becomes an empty package, so that only what a file itself imports
# is loaded
WITHOUT_ROOMS = """
import sys, types
from pathlib import Path
root = Path(sys.argv[1])
for package in ("mmssl", "book"):
    for init in sorted(root.joinpath(package).rglob("__init__.py")):
        name = ".".join(init.parent.relative_to(root).parts)
        room = types.ModuleType(name)
        room.__path__ = [str(init.parent)]
        room.__version__ = "0"
        sys.modules[name] = room
rooms = set(sys.modules)
for name in sys.argv[2:]:
    __import__(name)
ours = ("mmssl.", "book.")
print(*[m for m in sys.modules if m.startswith(ours) and m not in rooms])
"""


def loaded_files(*names):
    """Files of ours that Python loads for the given ones."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOMS, str(code.ROOT), *names],
        capture_output=True,
        text=True,
        check=True,
        cwd=code.ROOT,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "name",
    [
        "mmssl.ledger.sidecars",
        "mmssl.plotting.group_differences",
        "mmssl.groupmaps.corrections",
        "mmssl.similarity.tables",
        "mmssl.pretrain.fit",
        "mmssl.robustness.comparison",
        "mmssl.saliency.sanity_checks",
        "book.claims.page",
    ],
)
def test_what_python_loads_for_a_file_is_in_its_fingerprint(name):
    loaded = loaded_files(name)
    assert name in loaded and loaded <= set(fingerprint(name))


def test_a_script_that_uses_rooms_is_known_by_the_files_behind_the_names():
    script = (
        "from mmssl import cohorts, preprocessing\n"
        "cohorts.Cohort, preprocessing.falff"
    )
    found = imports(script)
    assert found == {"mmssl.cohorts.cohort", "mmssl.preprocessing.falff"}
    assert loaded_files(*found) <= set(fingerprint(*found))
    assert not {
        "mmssl.cohorts.simulated.phantom",
        "mmssl.preprocessing.person",
    } & set(fingerprint(*found))


def test_the_claims_ledger_is_followed_like_the_package():
    script = "from book.claims import page\npage.read()"
    assert imports(script) == {"book.claims.page"}
    found = fingerprint("book.claims.page")
    assert {"book.claims.page", "book.claims.rule"} <= set(found)
    found = fingerprint("book.claims.evidence")
    assert any(name.startswith("mmssl.") for name in found)
    whole = fingerprint("book.claims")
    files = {
        file.stem for file in source_of("book.claims").parent.glob("*.py")
    }
    files.remove("__init__")
    assert {f"book.claims.{name}" for name in files} <= set(whole)
    assert source_of("book.build") is None


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Give a function that writes files of a package and makes it ours."""
    monkeypatch.setattr(code, "ROOT", tmp_path)

    def write(**sources):
        for name, source in sources.items():
            path = tmp_path / "mmssl" / f"{name.replace('0', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)

    yield write
    imports.cache_clear()


ROOMS = {
    "__init__": "def __getattr__(name): ...",
    "top": "def f():\n    from mmssl.room.inner import thing",
    "aside": "",
    "room0__init__": "from mmssl.room.inner import name, thing as other",
    "room0inner": "from mmssl.bottom import x",
    "room0two": "",
    "bottom": "import mmssl\nmmssl.chained.call()",
    "chained": "",
}


def test_fingerprint_changes_with_a_file_two_imports_away(house):
    house(**ROOMS)
    before = fingerprint("mmssl.top")
    names = ("bottom", "chained", "room.inner", "top")
    assert list(before) == [f"mmssl.{name}" for name in names]
    house(bottom="import mmssl\nmmssl.chained.call()  # edited")
    after = fingerprint("mmssl.top")
    changed = [name for name in after if after[name] != before[name]]
    assert changed == ["mmssl.bottom"]
    assert set(fingerprint("mmssl.room")) == {
        "mmssl.bottom",
        "mmssl.chained",
        "mmssl.room.inner",
        "mmssl.room.two",
    }


def test_an_import_that_is_not_followed_cuts_no_other_way(house):
    house(**ROOMS | {"aside": "from mmssl.bottom import x"})
    cut = {("mmssl.room.inner", "mmssl.bottom")}
    assert set(fingerprint("mmssl.top", without=cut)) == {
        "mmssl.room.inner",
        "mmssl.top",
    }
    both = "mmssl.top", "mmssl.aside"
    assert fingerprint(*both, without=cut) == fingerprint(*both)


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("from mmssl import room\nroom.name()", {"room.inner"}),
        ("import mmssl\nmmssl.room.other.more", {"room.inner"}),
        ("from mmssl import room as short\nshort.two.deep()", {"room.two"}),
        ("from mmssl.room import name as x", {"room.inner"}),
        ("from mmssl.room import inner, two", {"room.inner", "room.two"}),
        ("import mmssl.room.two", {"room.two"}),
        ("from mmssl import room", set()),
        ("import mmssl\nmmssl.__version__", set()),
        ("from mmssl import room\nshow(room)", {"room"}),
        ("from mmssl import room\ngetattr(room, chosen)", {"room"}),
        ("from mmssl import room\nroom.written_nowhere()", {"room"}),
        ("from mmssl.room import *", {"room"}),
        ("import numpy as room\nroom.name()", set()),
    ],
)
def test_of_a_room_counts_what_is_used(house, source, files):
    house(**ROOMS)
    assert imports(source) == {f"mmssl.{name}" for name in files}


def test_fingerprint_refuses_an_unknown_module():
    with pytest.raises(ValueError, match="mmssl.nothing"):
        fingerprint("mmssl.nothing")
