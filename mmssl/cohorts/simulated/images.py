"""One scan of one simulated person: a T1 and a fALFF volume on the cohort's
grid.

A target voxel at x (MNI mm) shows the shared anatomy at

    y = P(h·x) + u(x),        y' = y + s·V(y)

with P the pose that registration left (drawn for every scan, separately for T1
and BOLD), h head size, u the person's smooth deformation (the same in both
modalities) and V the field that widens the ventricles
(:mod:`mmssl.cohorts.simulated.anatomy`), s growing with severity and age.

T1: intensity at y', medial temporal grey matter replaced by fluid in
proportion to severity, through the site's contrast, a bias field and noise.
BOLD: for every brain voxel a series whose power is a²·(f/f0)^(-β) + σ²·(0.2 +
(f/0.1 Hz)²); the amplitude a follows grey matter, networks and a smooth field
of the day, and severity lowers it in default-mode nodes. fALFF is what
:func:`mmssl.preprocessing.falff.falff` finds in those series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from mmssl.cohorts.simulated.anatomy import Anatomy
from mmssl.cohorts.simulated.factors import DELTA
from mmssl.cohorts.simulated.planted_masks import NETWORKS
from mmssl.preprocessing import template
from mmssl.preprocessing.falff import falff as fractional_amplitude

FLUID = 0.25  # T1 intensity of cerebrospinal fluid in the template
CONTROL_POINTS = 7  # per axis, 32 mm apart: the person's smooth deformation
KNEE = 0.05  # Hz, f0: where the 1/f part has amplitude a
FLOOR = 0.01  # Hz: below it the series are detrended
CARDIAC = 0.1  # Hz: above it aliased heart beat and breathing grow
_DEFORM, _T1, _BOLD, _SITE = 11, 12, 13, 14  # keys of the generators


@dataclass(frozen=True)
class Design:
    """How strong each effect is. Fixed on development seeds by oracle and
    baselines alone.

    Signal: ``ventricles`` (mm of push per unit of severity), ``thinning``
    (share of medial temporal grey lost per unit), ``default_mode`` (relative
    amplitude lost per unit), ``second`` and ``private`` (the same for the
    other factors), ``age`` (severity units per 8 years, on the ventricles).
    Nuisance of a person: ``deformation`` (mm), ``head`` (log scale). Of a
    scan: ``shift`` (mm), ``turn`` (degrees), ``zoom`` (log scale); in T1
    ``bias`` (log), ``contrast`` and ``noise`` (T1 units); in BOLD
    ``amplitude`` (relative, of every network) and ``flow`` (log, a smooth
    field). Of a site: ``site`` (scales its bias and contrast). Standard
    deviations all. ``volumes`` and ``tr`` (s) of the BOLD series, ``slope`` β
    and ``physiology`` σ of its spectrum, ``smoothing`` of the fALFF map (mm,
    full width at half maximum).
    """

    ventricles: float = 3.8
    thinning: float = 0.22
    default_mode: float = 0.32
    second: float = 0.10
    private: float = 0.10
    age: float = 0.5
    deformation: float = 3.0
    head: float = 0.03
    shift: float = 1.5
    turn: float = 1.5
    zoom: float = 0.02
    bias: float = 0.12
    contrast: float = 0.10
    noise: float = 0.03
    amplitude: float = 0.08
    flow: float = 0.20
    site: float = 1.0
    volumes: int = 128
    tr: float = 2.2
    slope: float = 2.0
    physiology: float = 0.35
    smoothing: float = 8.0


@dataclass(frozen=True)
class Person:
    """What the images of one person depend on: factors and the keys of the
    draws.
    """

    index: int
    seed: int
    factors: Mapping

    def rng(self, purpose: int, session: int = 0) -> np.random.Generator:
        """Generator of one purpose, independent of every other person, session
        and purpose.
        """
        return np.random.default_rng([self.seed, purpose, self.index, session])

    def severity(self) -> float:
        """Severity around the middle between HC and AD."""
        return self.factors["severity"] - DELTA / 2

    def years(self) -> float:
        """Age in units of 8 years around 71."""
        return (self.factors["age"] - 71) / 8


def t1(
    anatomy: Anatomy, person: Person, session: int, design: Design
) -> np.ndarray:
    """(X, Y, Z) float32: a brain-masked T1 with the person's anatomy and the
    scan's nuisance.
    """
    rng = person.rng(_T1, session)
    y = _anatomy_points(anatomy, person, rng, design)
    names = ["t1", "grey", "mask", "lobe", "visual", "control"]
    value, grey, mask, lobe, visual, control = anatomy.sample(names, y)
    lost = (
        design.thinning * person.severity() * lobe
        + design.second * person.factors["shared"] * visual
        + design.private * person.factors["private_t1"] * control
    )
    value = value - np.clip(lost, -0.5, 0.9) * np.maximum(
        value - FLUID * mask, 0
    )
    value = value * (1 + design.contrast * _site(person, rng, design) * grey)
    value = value * np.exp(_bias(anatomy, person, rng, design))
    value = value + design.noise * rng.standard_normal(
        len(value), dtype=np.float32
    )
    return _fill(anatomy, np.where(mask > 0.5, np.maximum(value, 1e-3), 0))


def falff(
    anatomy: Anatomy, person: Person, session: int, design: Design
) -> np.ndarray:
    """(X, Y, Z) float32 in (0, 1), brain-masked: fALFF of a simulated BOLD
    scan.
    """
    rng = person.rng(_BOLD, session)
    y = _anatomy_points(anatomy, person, rng, design)
    grey, white, mask, *networks = anatomy.sample(
        ["grey", "white", "mask", *NETWORKS], y
    )
    keep = mask > 0.5
    networks = np.stack(networks)[:, keep]
    level = amplitude(grey[keep], white[keep], networks, person, rng, design)
    level = level * np.exp(
        design.flow * _field(anatomy.points[keep], rng)
    ).astype(np.float32)
    bold = series(level, networks, rng, design, design.volumes, design.tr)
    found, brain = np.zeros((2, len(keep)), dtype=np.float32)
    found[keep] = fractional_amplitude(bold[:, None, None, :], design.tr)[
        :, 0, 0
    ]
    brain[keep] = 1
    return _smooth(
        _fill(anatomy, found),
        _fill(anatomy, brain),
        design.smoothing / anatomy.affine[0, 0],
    )


def amplitude(grey, white, networks, person, rng, design) -> np.ndarray:
    """(voxels,) amplitude a of the 1/f part: tissue, factors, and the scan's
    own state.
    """
    change = dict.fromkeys(NETWORKS, 0.0)
    change["default"] = -design.default_mode * person.severity()
    change["visual"] = -design.second * person.factors["shared"]
    change["motor"] = design.private * person.factors["private_falff"]
    effect = np.array([change[n] for n in NETWORKS])
    effect = effect + design.amplitude * rng.standard_normal(len(effect))
    level = 1 + design.amplitude * (
        rng.standard_normal() - 0.3 * person.years()
    )
    gain = level * np.clip(1 + effect @ networks, 0.1, None)
    return ((grey + 0.25 * white + 0.05) * gain).astype(np.float32)


def series(
    amplitude, networks, rng, design, volumes: int, tr: float
) -> np.ndarray:
    """(voxels, T) float32 series at repetition time ``tr`` (s), drawn in the
    frequency domain.

    Up to 30 % of the low-frequency variance in a network's core is one shared
    time course.
    """
    frequency = fft.rfftfreq(volumes, tr)
    shape = (np.maximum(frequency, FLOOR) / KNEE) ** -design.slope  # power
    shape = (shape * np.minimum(frequency / FLOOR, 1) ** 2).astype(np.float32)
    own = 1 - 0.3 * np.clip(networks.sum(axis=0), 0, 1)
    noise = design.physiology**2 * (0.2 + (frequency / CARDIAC) ** 2).astype(
        np.float32
    )
    scale = np.sqrt((own * amplitude**2)[:, None] * shape + noise)
    spectrum = rng.standard_normal((*scale.shape, 2), dtype=np.float32).view(
        np.complex64
    )[..., 0]
    spectrum *= scale
    courses = rng.standard_normal(
        (len(networks), len(frequency), 2), dtype=np.float32
    )
    courses = courses.view(np.complex64)[..., 0] * np.sqrt(shape)
    spectrum += (np.sqrt(0.3 * networks) * amplitude).T.astype(
        np.complex64
    ) @ courses
    return fft.irfft(spectrum, n=volumes, axis=1)


def _smooth(volume, brain, width) -> np.ndarray:
    """Gaussian of ``width`` voxels full width at half maximum, inside the
    brain only.
    """
    sigma = width / np.sqrt(8 * np.log(2))
    weight = ndimage.gaussian_filter(brain, sigma)
    return np.where(
        brain > 0,
        ndimage.gaussian_filter(volume, sigma) / np.maximum(weight, 1e-6),
        0,
    )


def _anatomy_points(anatomy, person, rng, design) -> np.ndarray:
    """(n, 3) MNI mm in the shared anatomy for every target point (module
    docstring, y').
    """
    matrix = _pose(person, rng, design)
    y = anatomy.points @ matrix[:3, :3].T + matrix[:3, 3]
    y += deformation(anatomy.points, person, design)
    push = design.ventricles * (
        person.severity() + design.age * person.years()
    )
    return y + push * anatomy.sample(["push_x", "push_y", "push_z"], y).T


def pose(
    person: Person, session: int, modality: str, design: Design
) -> np.ndarray:
    """(4, 4): where registration left a scan, from mm in the image to mm in
    the anatomy it shows.

    The person's head size is part of it; deformation and ventricles come after
    it.
    """
    return _pose(
        person,
        person.rng({"T1": _T1, "fALFF": _BOLD}[modality], session),
        design,
    )


def _pose(person, rng, design) -> np.ndarray:
    """Rotation, zoom per axis and shift, drawn about the centre of the field
    of view.
    """
    a, b, c = np.deg2rad(design.turn) * rng.standard_normal(3)
    skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    left, _, right = np.linalg.svd(np.eye(3) + skew)
    zoom = (
        design.zoom * rng.standard_normal(3)
        - design.head * person.factors["head_size"]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = (left @ right) * np.exp(zoom)
    shift = design.shift * rng.standard_normal(3)
    matrix[:3, 3] = template.CENTRE - matrix[:3, :3] @ template.CENTRE + shift
    return matrix


def deformation(
    points: np.ndarray, person: Person, design: Design
) -> np.ndarray:
    """(n, 3) mm at ``points`` (n, 3) MNI mm: the person's own, the same in
    every scan.
    """
    rng = person.rng(_DEFORM)
    return design.deformation * np.stack(
        [_field(points, rng) for _ in range(3)], axis=1
    )


def _field(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) smooth random field: cubic through standard normal control points
    32 mm apart.
    """
    control = rng.standard_normal((CONTROL_POINTS,) * 3)
    at = (points - template.CENTRE) / template.FIELD_OF_VIEW + 0.5
    return ndimage.map_coordinates(
        control, at.T * (CONTROL_POINTS - 1), order=3, mode="nearest"
    )


def _site(person, rng, design) -> float:
    """Contrast of this scan: the site's own, and the day's."""
    site = np.random.default_rng([_SITE, ord(person.factors["site"])])
    return design.site * site.standard_normal() + rng.standard_normal()


def _bias(anatomy, person, rng, design) -> np.ndarray:
    """(n,) log bias field: the site's polynomial of order 2, and the day's
    smooth field.
    """
    x = 2 * (anatomy.points - template.CENTRE) / template.FIELD_OF_VIEW
    terms = np.stack(
        [
            x[:, 0],
            x[:, 1],
            x[:, 2],
            *(x.T**2),
            x[:, 0] * x[:, 1],
            x[:, 0] * x[:, 2],
            x[:, 1] * x[:, 2],
        ]
    )
    site = np.random.default_rng(
        [_SITE, ord(person.factors["site"]), 1]
    ).standard_normal(9)
    return design.bias * (
        design.site * site @ terms + _field(anatomy.points, rng)
    )


def _fill(anatomy, values) -> np.ndarray:
    volume = np.zeros(anatomy.inside.shape, dtype=np.float32)
    volume[anatomy.inside] = values
    return volume
