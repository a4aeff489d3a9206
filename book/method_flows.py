"""Which way images go through a method: the flow diagrams of the page on
methods.

Numbers and choices that stand in the boxes are asked of the package's code.
"""

import inspect
from collections.abc import Iterable
from itertools import pairwise

import SimpleITK as sitk
from matplotlib.figure import Figure

from mmssl import objectives, plotting, preprocessing
from mmssl.objectives import corruptions, preservation
from mmssl.plotting import MODEL, Box, Flow, colour
from mmssl.preprocessing import intensity, motion, template

WHOLE = (0.05, 4.7)
"""Left and width of a box as wide as the diagram, in inches."""

CORRUPTIONS = (
    corruptions.shuffled,
    corruptions.painted,
    corruptions.blurred,
)
"""In the order in which a view takes them."""


def preprocessing_flow() -> Figure:
    """From a person's raw T1 and BOLD to the pair that a network reads."""
    usual = inspect.signature(preprocessing.prepare).parameters
    band = f"{usual['low'].default:g} to {usual['high'].default:g} Hz"
    similar = sitk.Similarity3DTransform().GetNumberOfParameters()
    rigid = len(motion.COLUMNS)
    side = usual["size"].default
    voxel = template.grid(side)[0, 0]
    landmarks = len(intensity.PERCENTILES)
    aligned = f"volumes aligned with\nthe first: {rigid} parameters"
    mean = f"mean registered to\nthe T1: {rigid} parameters"
    once = (
        "transforms multiplied, images resampled once:\n"
        f"{side}³ voxels of {voxel:g} mm, 0 outside the brain"
    )
    learned = (
        f"{landmarks} landmarks of the training people's\n"
        "histograms, then z-scores, over the brain"
    )
    left, right = (0.05, 2.18, colour("T1")), (2.57, 2.18, colour("fALFF"))
    rows = [
        {"T1": Box("raw T1", *left), "BOLD": Box("raw BOLD", *right)},
        {
            "to MNI": Box(
                f"registered to MNI152:\n{similar} parameters", *left
            ),
            "motion": Box(aligned, *right),
        },
        {"mask": Box("brain mask", *left), "to T1": Box(mean, *right)},
        {"ratio": Box(f"fALFF of each voxel,\n{band}", *right)},
        {"once": Box(once, *WHOLE)},
        {
            "volume T1": Box(f"T1, {side}³", *left),
            "volume fALFF": Box(f"fALFF, {side}³", *right),
        },
        {"landmarks": Box(learned, *WHOLE, learned=True)},
        {
            "input T1": Box("$x_1$", *left, bold=True),
            "input fALFF": Box("$x_2$", *right, bold=True),
        },
    ]
    t1 = ("T1", "to MNI", "mask", "once")
    series = ("BOLD", "motion", "to T1", "ratio", "once")
    flows = [Flow("mask", "to T1")]
    for m, steps in (("T1", t1), ("fALFF", series)):
        flows += _chain((*steps, f"volume {m}", "landmarks", f"input {m}"))
    return plotting.flow_diagram(rows, flows)


def preservation_flow() -> Figure:
    """From two views of an image to a contrast and three reconstructions."""
    objective = objectives.build("PCRL", ("T1",), width=1, size=16)
    term = objective.terms["PCRL"]
    rows = [{"image": Box("an image of one modality", *WHOLE)}]
    rows += _view_rows(term)
    told = "attention, told the turn $T_s$ of what is to be rebuilt"
    rows.append({"attention": Box(told, *WHOLE, learned=True)})
    inner = (0.62, 3.56)
    decoder = "one decoder for all three"
    rows.append(
        {
            "query": Box("$g$", 0.05, 0.4, learned=True),
            "decoder": Box(decoder, *inner, learned=True),
            "key": Box("$g$", 4.35, 0.4, learned=True),
        }
    )
    error = (
        "reconstruction: mean squared error\nto the clean crops, turned anew"
    )
    rows.append({"rebuilt": Box(error, *inner, MODEL[1], bold=True)})
    earlier = f"{len(term.get_buffer('queue_T1')):,} earlier $k$"
    contrast = f"contrast: $q$ is to tell its $k$ from {earlier}"
    rows.append({"contrast": Box(contrast, *WHOLE, MODEL[0], bold=True)})
    flows = [
        *_view_flows(term),
        *(Flow("attention", name) for name in ("query", "key")),
        Flow("query", "contrast", "$q$"),
        Flow("key", "contrast", "$k$"),
    ]
    for name, left in zip(preservation.ENCODERS, (0.8, 3.6, 2.4), strict=True):
        target = f"$T_{name[0]}(X_{name[0]})$"
        flows.append(Flow("attention", "decoder", left=left))
        flows.append(Flow("decoder", "rebuilt", target, left=left))
    return plotting.flow_diagram(rows, flows)


def _view_rows(term: preservation.PCRL) -> list[dict[str, Box]]:
    """From the crops to the maps, a column a view."""
    view = term.views[preservation.ORDINARY]
    low, high = (100 * limit(view.shares) for limit in (min, max))
    *others, last = [change.__name__ for change in CORRUPTIONS]
    rows: list[dict[str, Box]] = [{}, {}, {}, {}]
    for name, left in zip(term.views, (0.05, 3.33), strict=True):
        place, sign = (left, 1.42), name[0]
        texts = {
            "crop": f"crop $X_{sign}$, turned:\n{low:.0f} to {high:.0f} %",
            "corrupted": f"{', '.join(others)}\nand {last}",
            "encoder": f"{name}\nencoder",
            "maps": f"maps $F_{sign}$",
        }
        for row, (kind, text) in zip(rows, texts.items(), strict=True):
            learned = kind == "encoder"
            row[f"{kind} {name}"] = Box(text, *place, learned=learned)
    mixture = "$F_h = \\lambda F_o +$\n$(1 - \\lambda) F_m$"
    rows[-1]["maps hybrid"] = Box(mixture, 1.69, 1.42)
    return rows


def _view_flows(term: preservation.PCRL) -> list[Flow]:
    """From the image to the attention."""
    flows = [Flow("maps hybrid", "attention")]
    for name in term.views:
        kinds = ("crop", "corrupted", "encoder", "maps")
        steps = [f"{kind} {name}" for kind in kinds]
        flows += _chain(["image", *steps, "attention"])
        flows.append(Flow(f"maps {name}", "maps hybrid"))
    first, second = term.views
    least = term.views[first].least_overlap
    crops = f"crop {first}", f"crop {second}"
    encoders = f"encoder {first}", f"encoder {second}"
    rate = f"copied at rate {term.momentum:g}"
    return [
        *flows,
        Flow(*crops, f"overlap above {least:g}", style="<|-|>"),
        Flow(*encoders, rate, dashed=True),
    ]


def clustering_flow() -> Figure:
    """From crops of two modalities to codes that are predicted, and labels."""
    objective = objectives.build("SwAV-CE", width=1, size=16)
    term = objective.terms["SwAV"]
    view = next(iter(term.views.values()))
    sides = [crop.side for crop in term.views.values()]
    large = sides.count(max(sides))
    crops = (
        f"{large} large crops,\n{len(sides) - large} small ones;\n"
        f"other intensities\nwith $p$ = {view.probability:g}"
    )
    projector = f"projector: {term.features} features, length 1"
    loss = "swapped prediction: the codes of a crop\nby every other crop"
    both, lane = (0.05, 3.62), (3.79, 0.96)
    rows: list[dict[str, Box]] = [
        {"labelled": Box("labelled\nimages", *lane)},
        {},
        {"encoder": Box("one encoder for all", *WHOLE, learned=True)},
        {
            "projector": Box(projector, *both, learned=True),
            "layer": Box("linear\nlayer", *lane, learned=True),
        },
        {},
        {},
        {
            "swapped": Box(loss, *both, MODEL[0], bold=True),
            "entropy": Box("cross-\nentropy", *lane, MODEL[1], bold=True),
        },
    ]
    flows = _chain(("labelled", "encoder", "layer", "entropy"))
    for m, left in zip(term.members, (0.05, 1.92), strict=True):
        own, half = (left, 1.75, colour(m)), (0.82, colour(m))
        prototypes = f"{len(term.prototypes[m])} prototypes of {m}"
        rows[0][f"images {m}"] = Box(f"{m} images", *own)
        rows[1][f"crops {m}"] = Box(crops, *own)
        rows[4][f"prototypes {m}"] = Box(prototypes, *own, learned=True)
        halves = {
            "codes": ("Sinkhorn:\ncodes of\nthe large", left),
            "scores": ("softmax:\nscores\nof all", left + 0.93),
        }
        for kind, (text, place) in halves.items():
            rows[5][f"{kind} {m}"] = Box(text, place, *half)
            flows += _chain((f"prototypes {m}", f"{kind} {m}", "swapped"))
        flows += _chain((f"images {m}", f"crops {m}", "encoder"))
        flows.append(Flow("encoder", "projector", left=left + 0.875))
        flows.append(Flow("projector", f"prototypes {m}"))
    return plotting.flow_diagram(rows, flows)


def _chain(names: Iterable[str]) -> list[Flow]:
    """Arrows from each box to the next."""
    return [Flow(start, end) for start, end in pairwise(names)]
