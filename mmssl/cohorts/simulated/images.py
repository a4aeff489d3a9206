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
from mmssl.cohorts.simulated.real_anatomy import MNI152
from mmssl.preprocessing import space, template
from mmssl.preprocessing.falff import falff

FLUID = 0.25  # T1 intensity of cerebrospinal fluid in the template
CONTROL_POINTS = 7  # of a smooth random field, per axis, 32 mm apart
KNEE = 0.05  # Hz, f0: where the 1/f part has amplitude a
HIGH_PASS = 0.01  # Hz: below it the series are detrended
CARDIAC = 0.1  # Hz: above it aliased heart beat and breathing grow
SHARED_COURSE = 0.3  # of the slow variance in a network's core is one course
_DEFORM, _T1, _BOLD, _SITE = 11, 12, 13, 14  # keys of the generators


@dataclass(frozen=True)
class Design:
    """How strong each effect is.

    The design is fixed on development seeds by its oracle AUC and its
    baselines (:mod:`mmssl.cohorts.simulated.phantom`).

    Attributes
    ----------
    ventricles : mm of push per unit of severity.
    thinning : share of medial temporal grey matter lost per unit of severity.
    default_mode : relative amplitude lost per unit of severity.
    second, private : the same for the factors ``shared`` and ``private_*``.
    age : units of severity per 8 years of age, on the ventricles.
    deformation, head : of a person; mm, and log scale.
    shift, turn, zoom : of a scan's pose; mm, degrees, and log scale.
    bias, contrast, noise : of a T1 scan; log, and T1 units.
    amplitude, flow : of a BOLD scan; relative, of every network, and log, of a
        smooth field.
    site : scales a site's own bias and contrast.
    volumes, tr : length of the BOLD series and its repetition time (s).
    slope, physiology : β and σ of its spectrum.
    smoothing : of the fALFF map, mm (full width at half maximum).

    anatomy : whose brain they are made of, one of
        `mmssl.cohorts.simulated.real_anatomy.ANATOMIES`.

    From ``deformation`` to ``site`` all are standard deviations.
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
    anatomy: str = MNI152


@dataclass(frozen=True)
class SimulatedPerson:
    """What the images of one person depend on.

    Attributes
    ----------
    index, seed : keys of the person's draws.
    factors : one row of :func:`mmssl.cohorts.simulated.factors.draw`.
    """

    index: int
    seed: int
    factors: Mapping

    def rng(self, purpose: int, session: int = 0) -> np.random.Generator:
        """Generator of one purpose, independent of that of every other person,
        session and purpose.
        """
        return np.random.default_rng([self.seed, purpose, self.index, session])

    def severity(self) -> float:
        """Severity around the middle between HC and AD."""
        return self.factors["severity"] - DELTA / 2

    def years(self) -> float:
        """Age in units of 8 years around 71."""
        return (self.factors["age"] - 71) / 8


def t1_scan(
    anatomy: Anatomy, person: SimulatedPerson, session: int, design: Design
) -> np.ndarray:
    """Simulate a T1 scan.

    Returns
    -------
    (X, Y, Z) float32 array, brain-masked.
    """
    rng = person.rng(_T1, session)
    points = _anatomy_points(anatomy, person, rng, design)
    names = ["t1", "grey", "mask", "lobe", "visual", "control"]
    value, grey, mask, lobe, visual, control = anatomy.sample(names, points)
    lost = (
        design.thinning * person.severity() * lobe
        + design.second * person.factors["shared"] * visual
        + design.private * person.factors["private_t1"] * control
    )
    above_fluid = np.maximum(value - FLUID * mask, 0)
    value = value - np.clip(lost, -0.5, 0.9) * above_fluid
    value = value * (
        1 + design.contrast * _contrast(person, rng, design) * grey
    )
    value = value * np.exp(_bias(anatomy, person, rng, design))
    noise = rng.standard_normal(len(value), dtype=np.float32)
    value = value + design.noise * noise
    value = np.where(mask > 0.5, np.maximum(value, 1e-3), 0)
    return _to_volume(anatomy, value)


def t1_points(
    anatomy: Anatomy, person: SimulatedPerson, session: int, design: Design
) -> np.ndarray:
    """(n, 3) MNI mm in the shared anatomy that the voxels of a T1 scan
    show.
    """
    return _anatomy_points(anatomy, person, person.rng(_T1, session), design)


def falff_scan(
    anatomy: Anatomy, person: SimulatedPerson, session: int, design: Design
) -> np.ndarray:
    """Simulate a BOLD scan and compute its fALFF.

    Returns
    -------
    (X, Y, Z) float32 array in (0, 1), brain-masked.
    """
    rng = person.rng(_BOLD, session)
    points = _anatomy_points(anatomy, person, rng, design)
    names = ["grey", "white", "mask", *NETWORKS]
    grey, white, mask, *networks = anatomy.sample(names, points)
    inside = mask > 0.5
    networks = np.stack(networks)[:, inside]
    level = amplitude(
        grey[inside], white[inside], networks, person, rng, design
    )
    flow = np.exp(design.flow * _field(anatomy.points[inside], rng))
    level = level * flow.astype(np.float32)
    bold = series(level, networks, rng, design, design.volumes, design.tr)
    ratio = falff(bold[:, None, None, :], design.tr)
    values = np.zeros(len(inside), dtype=np.float32)
    values[inside] = ratio[:, 0, 0]
    return _smooth(
        _to_volume(anatomy, values),
        _to_volume(anatomy, inside),
        design.smoothing / anatomy.affine[0, 0],
    )


def amplitude(
    grey: np.ndarray,
    white: np.ndarray,
    networks: np.ndarray,
    person: SimulatedPerson,
    rng: np.random.Generator,
    design: Design,
) -> np.ndarray:
    """Amplitude a of the 1/f part: tissue, factors, and the state of the day.

    Parameters
    ----------
    grey, white : (voxels,) tissue fractions.
    networks : (networks, voxels) nearness to the nodes of `NETWORKS`.
    person, rng, design : whose, this scan's generator, and how strong.

    Returns
    -------
    (voxels,) float32 array.
    """
    change = dict.fromkeys(NETWORKS, 0.0)
    change["default"] = -design.default_mode * person.severity()
    change["visual"] = -design.second * person.factors["shared"]
    change["motor"] = design.private * person.factors["private_falff"]
    effect = np.array([change[name] for name in NETWORKS])
    effect = effect + design.amplitude * rng.standard_normal(len(effect))
    state = rng.standard_normal() - 0.3 * person.years()
    level = 1 + design.amplitude * state
    gain = level * np.clip(1 + effect @ networks, 0.1, None)
    tissue = grey + 0.25 * white + 0.05
    return (tissue * gain).astype(np.float32)


def series(
    amplitude: np.ndarray,
    networks: np.ndarray,
    rng: np.random.Generator,
    design: Design,
    volumes: int,
    tr: float,
) -> np.ndarray:
    """BOLD series, drawn in the frequency domain.

    Power a²·(f/f0)^(-β) + σ²·(0.2 + (f/0.1 Hz)²); in a network's core up to
    30 % of the variance of the first part is one shared time course.

    Parameters
    ----------
    amplitude : (voxels,) a.
    networks : (networks, voxels) nearness to the nodes of `NETWORKS`.
    rng, design : this scan's generator, and how strong.
    volumes, tr : length T of the series and its repetition time (s).

    Returns
    -------
    (voxels, T) float32 array.
    """
    frequency = fft.rfftfreq(volumes, tr)
    power = (np.maximum(frequency, HIGH_PASS) / KNEE) ** -design.slope
    detrended = np.minimum(frequency / HIGH_PASS, 1) ** 2
    power = (power * detrended).astype(np.float32)
    physiology = (0.2 + (frequency / CARDIAC) ** 2).astype(np.float32)
    own_share = 1 - SHARED_COURSE * np.clip(networks.sum(axis=0), 0, 1)
    own_power = (own_share * amplitude**2)[:, None] * power
    scale = np.sqrt(own_power + design.physiology**2 * physiology)
    spectrum = _complex_normal(scale.shape, rng)
    spectrum *= scale
    courses = _complex_normal((len(networks), len(frequency)), rng)
    courses = courses * np.sqrt(power)
    weights = np.sqrt(SHARED_COURSE * networks) * amplitude
    spectrum += weights.T.astype(np.complex64) @ courses
    return fft.irfft(spectrum, n=volumes, axis=1)


def _complex_normal(
    shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """complex64 array whose real and imaginary parts are standard normal."""
    parts = rng.standard_normal((*shape, 2), dtype=np.float32)
    return parts.view(np.complex64)[..., 0]


def _smooth(volume: np.ndarray, brain: np.ndarray, width: float) -> np.ndarray:
    """Gaussian of ``width`` voxels full width at half maximum, inside the
    brain only.
    """
    sigma = width / space.FWHM
    weight = np.maximum(ndimage.gaussian_filter(brain, sigma), 1e-6)
    smooth = ndimage.gaussian_filter(volume, sigma)
    return np.where(brain > 0, smooth / weight, 0)


def _anatomy_points(
    anatomy: Anatomy,
    person: SimulatedPerson,
    rng: np.random.Generator,
    design: Design,
) -> np.ndarray:
    """(n, 3) MNI mm in the shared anatomy for every target point: y' of the
    module docstring.
    """
    matrix = _pose(person, rng, design)
    points = anatomy.points @ matrix[:3, :3].T + matrix[:3, 3]
    points += deformation(anatomy.points, person, design)
    return points + push(anatomy, points, person, design)


def push(
    anatomy: Anatomy,
    points: np.ndarray,
    person: SimulatedPerson,
    design: Design,
) -> np.ndarray:
    """(n, 3) mm at ``points`` (n, 3) MNI mm: s·V, which widens the
    ventricles.
    """
    strength = design.ventricles * (
        person.severity() + design.age * person.years()
    )
    field = anatomy.sample(["push_x", "push_y", "push_z"], points)
    return strength * field.T


def pose(
    person: SimulatedPerson, session: int, modality: str, design: Design
) -> np.ndarray:
    """Where registration left a scan.

    The person's head size is part of it; deformation and ventricles come after
    it.

    Returns
    -------
    (4, 4) array, mm in the image to mm in the anatomy it shows.
    """
    purpose = {"T1": _T1, "fALFF": _BOLD}[modality]
    return _pose(person, person.rng(purpose, session), design)


def _pose(
    person: SimulatedPerson, rng: np.random.Generator, design: Design
) -> np.ndarray:
    """Rotation, zoom per axis and shift, drawn about the centre of the field
    of view.
    """
    a, b, c = np.deg2rad(design.turn) * rng.standard_normal(3)
    skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    left, _, right = np.linalg.svd(np.eye(3) + skew)
    rotation = left @ right
    drawn = design.zoom * rng.standard_normal(3)
    zoom = drawn - design.head * person.factors["head_size"]
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.exp(zoom)
    shift = design.shift * rng.standard_normal(3)
    matrix[:3, 3] = template.CENTRE - matrix[:3, :3] @ template.CENTRE + shift
    return matrix


def deformation(
    points: np.ndarray, person: SimulatedPerson, design: Design
) -> np.ndarray:
    """(n, 3) mm at ``points`` (n, 3) MNI mm: the person's own u, the same in
    every scan.
    """
    rng = person.rng(_DEFORM)
    fields = [_field(points, rng) for _ in range(3)]
    return design.deformation * np.stack(fields, axis=1)


def _field(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) smooth random field: cubic through standard normal control points
    32 mm apart.
    """
    control = rng.standard_normal((CONTROL_POINTS,) * 3)
    fraction = (points - template.CENTRE) / template.FIELD_OF_VIEW + 0.5
    index = fraction.T * (CONTROL_POINTS - 1)
    return ndimage.map_coordinates(control, index, order=3, mode="nearest")


def _contrast(
    person: SimulatedPerson, rng: np.random.Generator, design: Design
) -> float:
    """Contrast of a scan: the site's own, and the day's."""
    site = np.random.default_rng([_SITE, ord(person.factors["site"])])
    return design.site * site.standard_normal() + rng.standard_normal()


def _bias(
    anatomy: Anatomy,
    person: SimulatedPerson,
    rng: np.random.Generator,
    design: Design,
) -> np.ndarray:
    """(n,) log bias field: the site's polynomial of order 2, and the day's
    smooth field.
    """
    unit = 2 * (anatomy.points - template.CENTRE) / template.FIELD_OF_VIEW
    x, y, z = unit.T
    terms = np.stack([x, y, z, x**2, y**2, z**2, x * y, x * z, y * z])
    site = np.random.default_rng([_SITE, ord(person.factors["site"]), 1])
    weights = design.site * site.standard_normal(len(terms))
    return design.bias * (weights @ terms + _field(anatomy.points, rng))


def _to_volume(anatomy: Anatomy, values: np.ndarray) -> np.ndarray:
    """(X, Y, Z) float32 volume of values at the anatomy's points, 0
    elsewhere.
    """
    volume = np.zeros(anatomy.inside.shape, dtype=np.float32)
    volume[anatomy.inside] = values
    return volume
