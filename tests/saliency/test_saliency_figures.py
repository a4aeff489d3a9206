"""Left stays left, from a planted mask to the figure of saliency."""

import numpy as np
import torch
from nibabel.affines import apply_affine
from toy_encoders import Linear, volumes

from mmssl import plotting
from mmssl.groupmaps.clusters import peak
from mmssl.ledger.artefacts import read_map
from mmssl.saliency.maps import postprocess
from mmssl.saliency.smoothgrad import smoothgrad


def test_left_stays_left_from_a_planted_mask_to_the_figure(
    tiny_phantom, tmp_path
):
    affine, shape = tiny_phantom.affine, tiny_phantom.mask.shape
    file = tiny_phantom.path / "truth" / "temporal_lobe.nii.gz"
    lobe = read_map(file, shape, affine) > 0
    world = apply_affine(affine, np.stack(np.indices(shape), -1))
    left = lobe & (world[..., 0] < -5)
    assert 0 < left.sum() < lobe.sum()
    # the same brain, stored from left to right and from right to left
    for flip in (False, True):
        planted, turned, brain = left, affine, tiny_phantom.mask
        if flip:
            planted, brain, turned = planted[::-1], brain[::-1], affine.copy()
            turned[:3, 3] = apply_affine(affine, (31, 0, 0))
            turned[:3, 0] *= -1
        encoder = Linear(planted.shape, latent=1)
        weights = torch.from_numpy(planted.astype(np.float32)).flatten()[None]
        encoder.layer.weight.data.copy_(-weights)
        gradient = smoothgrad(encoder, volumes(1, planted.shape))
        shown = postprocess(gradient[0, 0].numpy(), brain).scaled
        point, _ = peak(shown, turned)
        assert point[0] < -15
        figure = plotting.best_pair({"T1": shown}, {"T1": 0}, turned)
        figure.savefig(tmp_path / f"{flip}.png")
        assert _coloured_side(figure) == "left"


def _coloured_side(figure):
    """Which half of the axial slice, from the person's left to right, holds
    the colours.
    """
    sides = set()
    for axes in figure.axes:
        letters = {t.get_text(): t.get_position()[0] for t in axes.texts}
        if not {"L", "R"} <= set(letters):
            continue
        low, high = axes.get_xlim()
        assert letters["L"] < letters["R"] and low < high
        overlay = axes.images[-1]
        values = np.ma.masked_invalid(overlay.get_array()).astype(float)
        values = np.ma.filled(values, 0)
        start, end = overlay.get_extent()[:2]
        place = np.linspace(start, end, values.shape[1])
        is_left = (values.sum(0) * place).sum() < 0
        sides.add("left" if is_left else "right")
    assert len(sides) == 1, sides
    return sides.pop()
