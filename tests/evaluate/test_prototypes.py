"""Whether clusters have collapsed, read from the objective's own loss."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from mmssl.evaluate.prototypes import (
    collapses,
    prototype_assignments,
    prototype_table,
)
from mmssl.models.keyed_random import Stream
from mmssl.objectives.language import build
from mmssl.objectives.term import Batch
from mmssl.objectives.views import Clean, make_views

SIDE, PEOPLE = 16, 11


def images():
    draw = np.random.default_rng(0)
    shape = PEOPLE, 1, SIDE, SIDE, SIDE
    return {
        m: draw.normal(size=shape).astype(np.float16) for m in ("T1", "fALFF")
    }


def objective(**options):
    torch.manual_seed(0)
    made = build(
        "SwAV", width=2, size=SIDE, prototypes=5, crops=(2, 1), **options
    )
    tensors = {m: torch.from_numpy(x) for m, x in images().items()}
    made.terms["SwAV"].learn_images(tensors)
    return made.eval()


def test_the_mean_over_people_is_the_objectives_loss():
    made = objective()
    found = prototype_assignments(made, images(), batch_size=4, seed=3)
    # the incomplete last step is left out
    assert found.groupby("modality")["person"].apply(list)["T1"] == list(
        range(8)
    )
    tensors = {m: torch.from_numpy(x) for m, x in images().items()}
    for step in range(2):
        rows = torch.arange(4 * step, 4 * step + 4)
        of_all = dict.fromkeys(tensors, rows)
        stream = Stream(rows, 3, 0)
        views = make_views(tensors, of_all, made.views, Clean(), stream)
        with torch.no_grad():
            total, _, ctx = made(Batch(views, of_all, {}, 0, 3))
        own = found[found["person"].isin(rows.tolist())]
        assigned = made.terms["SwAV"].assignments(ctx)
        for m, lines in own.groupby("modality"):
            nearest = assigned[m].scores[0].argmax(1)
            assert lines["nearest"].tolist() == nearest.tolist()
        by_modality = own.groupby("modality")["loss"].mean()
        assert float(total) == pytest.approx(by_modality.sum(), rel=1e-5)
    assert set(found["nearest"]) <= set(range(5))


def test_usage_and_loss_of_a_made_up_table():
    lines = {
        "modality": ["T1"] * 4 + ["fALFF"] * 4,
        "person": [0, 1, 2, 3] * 2,
        "nearest": [0, 1, 2, 3, 1, 1, 1, 1],
        "loss": [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.5],
        "prototypes": 4,
    }
    table = prototype_table(pd.DataFrame(lines)).set_index("modality")
    assert table["used"].to_dict() == {"T1": 4, "fALFF": 1}
    assert table.loc["T1", "usage"] == pytest.approx(1)
    assert table.loc["fALFF", "usage"] == 0
    assert table.loc["T1", "loss"] == 2.5
    assert table.loc["T1", "low"] < 2.5 < table.loc["T1", "high"]
    assert table.loc["T1", "chance"] == pytest.approx(math.log(4))
    assert table.loc["T1", "share"] == pytest.approx(2.5 / math.log(4))
    lines["nearest"] = [0, 0, 0, 1, 0, 0, 1, 1]
    table = prototype_table(pd.DataFrame(lines)).set_index("modality")
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert table.loc["T1", "usage"] == pytest.approx(entropy / math.log(4))
    assert table.loc["fALFF", "usage"] == pytest.approx(0.5)
    # of two, which are the fewest that can be told apart
    lines["prototypes"] = 2
    table = prototype_table(pd.DataFrame(lines)).set_index("modality")
    assert table.loc["T1", "usage"] == pytest.approx(entropy / math.log(2))
    assert table.loc["T1", "share"] == pytest.approx(2.5 / math.log(2))


def test_an_encoder_that_tells_nobody_apart_uses_one_prototype():
    """The check must see a collapse."""
    made = objective(norm=False)
    with torch.no_grad():
        for head in made.further_heads.values():
            last = head["clustering"][-1]
            last.weight.zero_()
            last.bias.copy_(made.terms["SwAV"].prototypes["T1"][0])
    table = prototype_table(prototype_assignments(made, images()))
    line = table.set_index("modality").loc["T1"]
    assert line["used"] == 1 and line["usage"] == 0


def test_errors():
    with pytest.raises(ValueError, match="objective of RR: no prototypes"):
        other = build("RR", width=2, size=SIDE)
        prototype_assignments(other, images())
    one = {m: x[:1] for m, x in images().items()}
    with pytest.raises(ValueError, match="1 people"):
        prototype_assignments(objective(), one)


def test_the_sentence_on_collapses_counts_them():
    good = {"usage": 0.97, "high": 2.0, "chance": 2.77}
    uneven = {**good, "usage": 0.79}
    useless = {**good, "high": 0.9 * 2.77}
    said = {}
    for lines in ([good], [good] * 2, [good] * 3, [uneven], [good, useless]):
        said[len(said)] = collapses(pd.DataFrame(lines))
    assert "The one clustering is not near a collapse" in said[0]
    assert "Neither of the 2 clusterings is near a collapse" in said[1]
    assert "None of the 3 clusterings is near a collapse" in said[2]
    assert "**The one clustering is near a collapse or has" in said[3]
    assert "**1 of the 2 clusterings is near a collapse or has" in said[4]
    said = collapses(pd.DataFrame([uneven, useless, good]))
    assert "**2 of the 3 clusterings are near a collapse or have" in said
    said = collapses(pd.DataFrame([uneven, useless]))
    assert "**Both clusterings are near a collapse or have" in said
    assert collapses(pd.DataFrame()) == ""
