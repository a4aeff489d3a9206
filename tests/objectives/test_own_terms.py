"""Terms of a user's, by "module:Class", wherever a term's name is allowed."""

import pytest
import torch
from own_terms import Apart

from mmssl.models.keyed_random import Stream
from mmssl.objectives import Batch, Clean, build, language, make_views
from mmssl.objectives.language import options_of, parse, unused_imports

SMALL = {"width": 2, "latent": 4, "size": 16}


def step_of(objective):
    """Return the loss of one batch, its parts and its context."""
    rows = {m: torch.arange(5) for m in objective.modalities}
    generator = torch.Generator().manual_seed(1)
    volumes = {}
    for m in objective.modalities:
        volumes[m] = torch.randn(5, 1, 16, 16, 16, generator=generator)
    stream = Stream(rows["T1"], 0, 1)
    views = make_views(volumes, rows, objective.views, Clean(), stream)
    return objective(Batch(views, rows))


def test_it_stands_beside_the_package_s_terms():
    name = "RR-own_terms:Apart"
    assert parse(name) == ("RR", "own_terms:Apart")
    assert options_of(name)["scale"] == 1.0
    objective = build(name, weights={"Apart": 0.5}, scale=3.0, **SMALL)
    assert type(objective.terms["Apart"]) is Apart
    total, parts, ctx = step_of(objective)
    z, other = ctx.latent("T1"), ctx.latent("fALFF")
    apart = 2 * 3.0 * (z - other).square().mean()
    torch.testing.assert_close(parts["Apart/loss"], apart)
    whole = parts["RR/loss"] + parts["RR/penalty"] + 0.5 * apart
    torch.testing.assert_close(total, whole)
    assert list(objective.graph) == ["RR", "Apart"]


def test_its_objective_reaches_no_code_of_other_terms():
    beside = unused_imports("RR-own_terms:Apart")
    assert beside == unused_imports("RR")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:A", "not found .No module named"),
        ("own_terms:Missing", "not found .module 'own_terms'"),
        ("own_terms:cross_edges", "expected a subclass of mmssl.objectives"),
        ("os:system", "expected a subclass of mmssl.objectives.Term"),
        ("own_terms:RR", "the package has one of this name"),
        ("RR-own_terms:Apart-own_terms:Apart", "term 'Apart' comes twice"),
        ("RR-own_terms:RR", "term 'RR' comes twice"),
        ("own_terms", "unknown term .*or 'module:Class' of your own"),
        ("own terms:Apart", "unknown term"),
    ],
)
def test_what_is_no_term_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        parse(name)


def test_weights_go_by_the_class():
    with pytest.raises(ValueError, match="expected of .'Apart',"):
        build("own_terms:Apart", weights={"own_terms:Apart": 1}, **SMALL)
    with pytest.raises(ValueError, match="need two modalities"):
        build("own_terms:Apart", ("T1",), **SMALL)
    assert language.label("a.b:C") == "C" and language.label("RR") == "RR"
