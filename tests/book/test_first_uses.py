"""Terms of the glossary are linked where a page first uses them."""

from docutils import nodes

from book import first_uses

TERMS = {"T1": 0, "encoder": 0, "random encoder": 0, "latent dimension": 0}


class _Domain:
    def get_objects(self):
        yield "encoder", "encoder", "term", "glossary", "term-encoder", -1
        yield "HC, AD", "HC, AD", "term", "glossary", "term-HC-AD", -1
        yield "code", "code", "term", "glossary", "term-code", -1
        yield "gap (RBC)", "gap (RBC)", "term", "glossary", "term-gap", -1
        yield "other", "other", "label", "methods", "x", -1


class _App:
    """What the extension asks of Sphinx."""

    def __init__(self):
        self.env = self.builder = self

    def get_domain(self, name):
        return _Domain()

    def get_relative_uri(self, page, target):
        return f"{target}.html"


def _found(text):
    found = first_uses.pattern(TERMS).findall(text)
    return [word for word, _ in found]


def test_a_term_is_a_word_of_its_own():
    assert _found("Encoders of T1, t1 and T10") == ["Encoder", "T1"]
    assert _found("a random encoder, an auto-encoder") == ["random encoder"]
    assert _found("latent\n  dimensions") == ["latent\n  dimension"]
    assert first_uses.key_of("Encoder", TERMS) == "encoder"
    assert first_uses.key_of("T1", TERMS) == "T1"
    assert first_uses.key_of("latent\n dimension", TERMS) == "latent dimension"


def test_the_first_use_in_a_paragraph_is_linked_and_no_other():
    page = nodes.document(None, None)
    page += nodes.title("", "The encoder")
    line = nodes.paragraph("", "An ")
    line += nodes.literal("", "encoder")
    line += nodes.Text(" is an encoder of HC; the encoder of AD, a code")
    page += [line, nodes.paragraph("", "encoder, RBC")]
    first_uses.link(_App(), page, "executed/demo/01_cohort")
    links = list(page.findall(nodes.reference))
    assert [link.astext() for link in links] == ["encoder", "HC", "AD", "RBC"]
    assert links[0]["refuri"] == "glossary.html#term-encoder"
    assert line.astext().endswith("of HC; the encoder of AD, a code")


def test_the_glossary_and_the_package_stay_as_they_are():
    for name in ("glossary", "references", "api/stats"):
        page = nodes.document(None, None)
        page += nodes.paragraph("", "encoder")
        first_uses.link(_App(), page, name)
        assert not list(page.findall(nodes.reference))
