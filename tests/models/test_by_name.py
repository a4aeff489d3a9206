"""Names of what a user adds: spelling, and what is found."""

import pytest

from mmssl.models import UNetEncoder
from mmssl.models.by_name import is_named, named


def test_a_name_is_told_by_its_spelling():
    assert is_named("mmssl.models.unet:UNetEncoder")
    assert is_named("__main__:Own")
    others = ("blur", "a b:C", "a:b:C", "a:b.C", ":C", "a:", "a:C\n", 3, None)
    assert not any(map(is_named, others))


def test_what_is_named_is_found_or_said_to_be_missing():
    found = named("mmssl.models.unet:UNetEncoder", "backbone", "a:B")
    assert found is UNetEncoder
    message = "^sound is 'x', expected 'module:Class', such as 'a:B'$"
    with pytest.raises(ValueError, match=message):
        named("x", "sound", "a:B")
    with pytest.raises(
        ValueError, match="^sound 'no_such:C': not found .No m"
    ):
        named("no_such:C", "sound", "a:B")
    with pytest.raises(ValueError, match="^sound 'os:C': not found .module"):
        named("os:C", "sound", "a:B")
