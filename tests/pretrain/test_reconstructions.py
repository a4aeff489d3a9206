"""What comes back of an image is what the run's decoder makes of its z."""

import numpy as np
import torch

from mmssl.pretrain import embed, fit, load_objective, reconstructed

SMALL = {"epochs": 1, "batch_size": 4, "width": 2, "latent": 4}


def test_it_is_decoded_from_the_stored_embedding(cohort, tmp_path):
    run = fit(cohort, "RR-AE", tmp_path / "run", **SMALL)
    row = int(cohort.rows("train")[1])
    found = reconstructed(run, cohort, row)
    objective = load_objective(run, cohort)
    stored = embed(run, cohort)
    assert set(found) == set(cohort.modalities)
    for m, image in found.items():
        z = torch.from_numpy(stored[m][[row]])
        with torch.inference_mode():
            expected = objective.decoders[m](z)[0, 0].numpy()
        assert image.shape == cohort.volumes[m].shape[1:]
        np.testing.assert_allclose(image, expected, atol=1e-2)


def test_who_never_gave_an_image_back_gives_none(cohort, tmp_path):
    run = fit(cohort, "RR", tmp_path / "run", **SMALL)
    assert reconstructed(run, cohort, int(cohort.rows("train")[0])) == {}
