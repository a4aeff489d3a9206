"""What a user's class does is hashed, wherever it was typed."""

import sys
import types

import pytest
import torch

from mmssl.ledger.code import fingerprint
from mmssl.ledger.definitions import user_fingerprint
from mmssl.objectives.correlation import CCA

SOURCE = """
import helpers
from mmssl.losses.infonce import info_nce
from mmssl import losses

SCALE = 2.0
LIMITS = {"a": (1, 2), "b": {3, 4}}

def halved(x):
    return x / 2

class Base:
    rate = 0.1

    def scaled(self, x):
        return [SCALE * one for one in x]

class Own(Base):
    '''A term.'''
    views = [("main", 2)]

    @property
    def width(self):
        return LIMITS["a"]

    @staticmethod
    def shifted(x, by=3):
        return x + by

    def forward(self, x):
        return halved(self.scaled(x)) + helpers.added(x) + info_nce(x)
"""
HELPERS = "def added(x):\n    return x + 1\n"


@pytest.fixture
def own(monkeypatch):
    """Give the function that types source into a session, with the class that
    it defines.
    """

    def typed(source, helpers=HELPERS):
        for name, text in (("helpers", helpers), ("session", source)):
            module = types.ModuleType(name)
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(text, f"<{name}>", "exec"), vars(module))
        return user_fingerprint(sys.modules["session"].Own)

    return typed


def test_all_that_a_class_uses_is_there(own):
    found = own(SOURCE)
    ours = fingerprint("mmssl.losses.infonce")
    assert ours.items() <= found.items()
    assert found.keys() - ours.keys() == {
        "session.Own",
        "session.Base",
        "session.halved",
        "helpers.added",
    }
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("SCALE = 2.0", "SCALE = 2.5", {"session.Base"}),
        ("x / 2", "x / 3", {"session.halved"}),
        ("rate = 0.1", "rate = 0.2", {"session.Base"}),
        ("by=3", "by=4", {"session.Own"}),
        ('("main", 2)', '("main", 1)', {"session.Own"}),
        ("{3, 4}", "{3, 5}", {"session.Own"}),
        ('LIMITS["a"]', 'LIMITS["b"]', {"session.Own"}),
        ("SCALE * one", "SCALE + one", {"session.Base"}),
        ("x + 1", "x - 1", {"helpers.added"}),
        ("class Own(Base):", "class Own(Base):  # mine", set()),
        ("def halved", "\n# half of it\n\ndef halved", set()),
    ],
)
def test_a_change_is_named_and_a_comment_is_none(own, old, new, changed):
    before = own(SOURCE)
    after = own(SOURCE.replace(old, new), HELPERS.replace(old, new))
    differ = {name for name in before if before[name] != after[name]}
    assert differ == changed and before.keys() == after.keys()


def test_fields_of_a_dataclass_count_and_of_another_object_its_type(own):
    size = "from dataclasses import dataclass\n@dataclass\nclass Size:\n"
    size += "    side: int\n"
    views = "views = [Size(2), object()]"
    source = size + SOURCE.replace('views = [("main", 2)]', views)
    before = own(source)
    assert own(source) == before
    after = own(source.replace("Size(2)", "Size(3)"))
    differ = {name for name in before if before[name] != after[name]}
    assert differ == {"session.Own"}


def test_a_chain_of_our_modules_is_followed(own):
    chained = SOURCE.replace("info_nce(x)", "losses.canonical_correlation(x)")
    assert "mmssl.losses.cca" in own(chained)
    assert "mmssl.losses.cca" not in own(SOURCE)


def test_ours_count_by_module_and_libraries_not_at_all():
    assert user_fingerprint(CCA) == fingerprint("mmssl.objectives.correlation")
    assert user_fingerprint(torch.nn.Linear, dict) == {}


def test_a_closure_and_an_empty_one_are_read():
    def make(scale):
        class Own:
            def forward(self, x):
                return super().__init__() or scale * x

        return Own

    one, other = make(1), make(2)
    assert user_fingerprint(one) == user_fingerprint(make(1))
    assert user_fingerprint(one) != user_fingerprint(other)
