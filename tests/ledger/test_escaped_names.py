"""Names are shown as they stand, by what reads Markdown and HTML."""

import html
import string

import pandas as pd
import pytest

from mmssl.ledger.markup import escaped, styled


def test_letters_digits_and_hyphens_between_them_stay():
    assert escaped("CR-XX 2") == "CR-XX 2"
    assert escaped(3.5) == f"&#{ord('3')};.5"


@pytest.mark.parametrize("sign", string.punctuation)
def test_a_sign_is_written_as_its_number_wherever_markup_may_begin(sign):
    first = escaped(f"{sign}a")
    assert first.replace("<span>", "").startswith(f"&#{ord(sign)};")
    text = html.unescape(first).replace("<span>", "").replace("</span>", "")
    assert text == f"{sign}a"


@pytest.mark.parametrize("name", ["a\tb", "a\n\nb", " a b\r\n"])
def test_a_name_is_one_line(name):
    assert escaped(name) == "a b"
    cell = styled(pd.DataFrame({"x": [name]})).data.loc[0, "x"]
    assert cell == name.translate(dict.fromkeys(map(ord, "\t\n\r"), " "))


@pytest.mark.parametrize(
    "hidden", ["\x00", "\x7f", "\u202a", "\u202e", "\u2066", "\u2069"]
)
def test_what_is_hidden_is_made_visible(hidden):
    assert escaped(f"a{hidden}b") == "a\ufffdb"
