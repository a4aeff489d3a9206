"""Parameter randomisation: which layers are drawn anew, and which maps are
compared.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from toy_encoders import SHAPE, Small, dcgan, volumes

from mmssl.groupmaps.mann_whitney import compare
from mmssl.models.dcgan import Encoder
from mmssl.saliency import dimensions
from mmssl.saliency.maps import postprocess
from mmssl.saliency.parameter_randomisation import (
    group_map_correlations,
    layer_count,
    person_map_correlations,
    randomised,
)
from mmssl.saliency.smoothgrad import smoothgrad


def test_layers_are_randomised_from_the_last_one_down():
    encoder = dcgan(size=32)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    assert layer_count(encoder) == 4
    order = ["to_latent", "convs.2", "convs.1", "convs.0"]
    copies = [randomised(encoder, n, seed=1) for n in range(5)]
    last = copies[-1].state_dict()
    for n, copy in enumerate(copies):
        state, changed = copy.state_dict(), []
        for name in order:
            weight = f"{name}.weight"
            if not torch.equal(state[weight], before[weight]):
                changed.append(name)
                # fewer layers get the same new weights as more
                assert torch.equal(state[weight], last[weight])
        assert changed == order[:n]
        variance = "norms.2.running_var"
        is_kept = torch.equal(state[variance], before[variance])
        assert is_kept == (n < 2)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert (last["norms.1.running_mean"] == 0).all()
    assert (last["norms.1.weight"] == 1).all()


def test_random_weights_are_drawn_as_the_encoder_was_made():
    encoder = dcgan(size=32, width=16, latent=64)
    made = Encoder(width=16, latent=64, size=32)
    ours = randomised(encoder, seed=3)
    for a, b in zip(ours.parameters(), made.parameters(), strict=True):
        if a.dim() > 1:
            assert a.std().item() == pytest.approx(b.std().item(), rel=0.05)
            assert a.abs().max().item() == pytest.approx(
                b.abs().max().item(), rel=0.02
            )
    state = torch.get_rng_state()
    again = randomised(encoder, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(ours.to_latent.weight, again.to_latent.weight)
    other = randomised(encoder, seed=4)
    assert not torch.equal(ours.to_latent.weight, other.to_latent.weight)


def test_any_encoder_is_randomised_and_too_many_layers_are_refused():
    encoder = Small()
    assert layer_count(encoder) == 2
    one = randomised(encoder, 1)
    assert torch.equal(one.net[0].weight, encoder.net[0].weight)
    assert not torch.equal(one.net[4].weight, encoder.net[4].weight)
    for layers in (-1, 3):
        with pytest.raises(
            ValueError, match=f"layers={layers}, expected 0 to 2"
        ):
            randomised(encoder, layers)


def test_maps_of_people_are_compared_by_spearmans_correlation(brain):
    encoder, x = Small(), volumes(2, SHAPE)
    correlations = person_map_correlations(
        encoder, x, brain, sigma=1.0, seed=2, samples=2, dimensions=[2, 0]
    )
    assert correlations.shape == (3, 2, 2)
    np.testing.assert_allclose(correlations[0], 1.0)
    maps = []
    for network in (encoder, randomised(encoder, 1, 2)):
        gradient = smoothgrad(network, x, 2, seed=2).numpy()
        magnitude = postprocess(gradient, brain, 1.0).magnitude
        maps.append(magnitude[1, 2][brain])
    expected = spearmanr(*maps).statistic
    assert correlations[1, 1, 0] == pytest.approx(expected, abs=1e-6)


def test_maps_of_groups_change_with_the_weights(rng):
    torch.manual_seed(0)
    encoders, x = {}, {}
    for m in ("T1", "fALFF"):
        encoders[m] = Encoder(width=2, latent=4, size=16).eval()
    for m in encoders:
        x[m] = rng.normal(size=(9, 1, 16, 16, 16)).astype("f4")
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[3:13, 4:12, 2:14] = True
    picks = pd.DataFrame(
        {"modality": ["T1", "T1", "fALFF"], "dimension": [3, 0, 1]}
    )
    maps = dimensions.subject_maps(encoders, x, picks, mask, samples=1)
    group = np.arange(9) < 4
    rbc = compare(maps, group, 10).rbc
    table = group_map_correlations(
        encoders, rbc, x, group, picks, mask, samples=1
    )
    assert sorted(set(table["layers"])) == [0, 1, 2, 3]
    correlation = table.set_index("layers")["correlation"]
    assert (correlation.loc[0] > 1 - 1e-9).all()
    assert correlation.loc[1:].abs().max() < 0.95
