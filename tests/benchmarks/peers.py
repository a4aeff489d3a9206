"""The peers a user would otherwise write or pick: the same work, in the
obvious way.
"""

import time
from pathlib import Path

import nibabel
import numpy as np
import torch
import torchio
from torch.utils.data import DataLoader


def masked_info_nce(local, anchor, clip=20.0, penalty=0.04):
    """InfoNCE by full score matrices and masks, as the public code of AMDIM
    and of 004 does.
    """
    batch, channels, locations = local.shape
    keys = local.permute(0, 2, 1).reshape(batch * locations, channels)
    raw = anchor @ keys.T / channels**0.5  # (B, B * L)
    score = clip * torch.tanh(raw / clip)
    owner = torch.arange(batch).repeat_interleave(locations)
    # (B, B * L)
    positive = (owner[None] == torch.arange(batch)[:, None]).float()
    negative = 1 - positive
    largest = (negative * score - clip * positive).max(1, keepdim=True)[0]
    others = (negative * torch.exp(score - largest)).sum(1, keepdim=True)
    log_sum = torch.log(torch.exp(score - largest) + others) + largest
    loss = -(positive * (score - log_sum)).sum() / (batch * locations)
    return loss, penalty * raw.square().mean()


def plain_features(encoder, x):
    """z and the raw map of side 8 of a DCGAN encoder, layer by layer."""
    layers = zip(encoder.convs, encoder.norms, strict=True)
    for i, (conv, norm) in enumerate(layers):
        raw = conv(x)
        if raw.shape[-1] == 8:
            local = raw
        normalised = norm(raw) if i else raw
        x = torch.nn.functional.leaky_relu(normalised, 0.2)
    return encoder.to_latent(x).flatten(1), local


def masked_cr_xx_cc(objective, volumes, at):
    """Total of CR-XX-CC written out with `masked_info_nce`; ``at`` is the CC
    location per row.
    """
    z, local = {}, {}
    for m, x in volumes.items():
        z[m], raw = plain_features(objective.encoders[m], x)
        local[m] = objective.heads[m](raw)
    edges = [(local[m], z[m]) for m in z]
    for i in z:
        anchor = local[i][torch.arange(len(at[i])), :, at[i]]
        for j in z:
            if i != j:
                edges += [(local[j], z[i]), (local[j], anchor)]
    total = 0
    for features, vector in edges:
        loss, penalty = masked_info_nce(features, vector)
        total = total + (loss + penalty)
    return total


def write_pairs(
    folder: Path, pairs: int, size: int = 64
) -> list[tuple[Path, Path]]:
    """Write random paired NIfTI volumes, compressed as cohorts are shipped."""
    rng = np.random.default_rng(0)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    files = []
    for i in range(pairs):
        pair = (folder / f"{i}_t1.nii.gz", folder / f"{i}_falff.nii.gz")
        for path in pair:
            volume = rng.normal(size=(size,) * 3).astype("f4")
            nibabel.save(nibabel.Nifti1Image(volume, affine), path)
        files.append(pair)
    return files


class _SharedCrop(torchio.transforms.Transform):
    def apply_transform(self, subject):
        start = np.random.randint(0, 17, 3)
        for image in subject.get_images(intensity_only=False):
            x, y, z = (slice(s, s + 64) for s in start)
            image.set_data(image.data[:, x, y, z])
        return subject


def _collate(subjects):
    t1 = torch.stack([subject.t1.data for subject in subjects])
    falff = torch.stack([subject.falff.data for subject in subjects])
    return t1, falff


def torchio_pairs_per_second(files, workers: int = 2) -> float:
    """Usual TorchIO pipeline: read, z-normalise, pad 8, crop shared by both,
    flips; batch 64.
    """
    steps = [
        torchio.ZNormalization(),
        torchio.Pad(8),
        _SharedCrop(),
        torchio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5),
    ]
    subjects = []
    for t1, falff in files:
        subject = torchio.Subject(
            t1=torchio.ScalarImage(t1), falff=torchio.ScalarImage(falff)
        )
        subjects.append(subject)
    dataset = torchio.SubjectsDataset(
        subjects, transform=torchio.Compose(steps)
    )
    loader = DataLoader(
        dataset,
        batch_size=64,
        shuffle=True,
        num_workers=workers,
        collate_fn=_collate,
    )
    start = time.perf_counter()
    pairs = sum(len(t1) for t1, _ in loader)
    return pairs / (time.perf_counter() - start)


def monai_loader(files, pad: int, side: int, batch: int):
    """MONAI's way: read and normalised once, then kept in memory; pad, crop
    and flip in two threads.
    """
    from monai import transforms
    from monai.data import CacheDataset, ThreadDataLoader

    keys = ("t1", "falff")
    steps = [
        transforms.LoadImaged(keys, ensure_channel_first=True),
        transforms.NormalizeIntensityd(keys),
        transforms.BorderPadd(keys, pad),
        transforms.RandSpatialCropd(keys, (side,) * 3, random_size=False),
    ]
    for axis in range(3):
        steps.append(transforms.RandFlipd(keys, 0.5, axis))
    dataset = CacheDataset(
        [dict(zip(keys, pair, strict=True)) for pair in files],
        transforms.Compose(steps),
        progress=False,
    )
    return ThreadDataLoader(
        dataset,
        batch_size=batch,
        shuffle=True,
        num_workers=2,
        use_thread_workers=True,
    )
