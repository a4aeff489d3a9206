"""The flow diagrams of the page on methods show the way that images go in the
code.
"""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from mmssl.models.keyed_random import Stream
from mmssl.objectives import build, clustering, preservation
from mmssl.objectives.term import Batch
from mmssl.objectives.views import make_views
from mmssl.plotting import MODALITY
from mmssl.preprocessing import motion, person, registration, template

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location(
    "method_flows", ROOT / "book" / "method_flows.py"
)
page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)

NAMES = ("preprocessing", "preservation", "clustering")


@pytest.fixture(params=NAMES)
def drawn(request, monkeypatch):
    """Give the rows and the arrows of each diagram."""
    return handed(request.param, monkeypatch)


def handed(name, monkeypatch):
    """Return what a diagram is drawn from: rows, boxes and arrows."""
    given = []
    with monkeypatch.context() as patch:
        patch.setattr(
            page.plotting, "flow_diagram", lambda *x: given.extend(x)
        )
        getattr(page, f"{name}_flow")()
    rows, flows = given
    boxes = {name: box for row in rows for name, box in row.items()}
    return rows, boxes, flows


def into(flows, name):
    """Return from where images or features lead to a box."""
    solid = [flow for flow in flows if not flow.dashed]
    return [flow.start for flow in solid if flow.end == name]


def batch_of(objective, rows=4):
    """Return a batch of noise, as training makes it."""
    shape = (rows, 1, 16, 16, 16)
    draw = torch.Generator().manual_seed(0)
    names = objective.modalities
    inputs = {m: torch.rand(shape, generator=draw) for m in names}
    for term in objective.terms.values():
        term.learn_images(inputs)
    keys = torch.arange(rows)
    own = dict.fromkeys(inputs, keys)
    stream = Stream(keys, 0, 0)
    views = make_views(
        inputs, own, objective.views, lambda x, _: x, stream, {}
    )
    labels = {m: {"diagnosis": keys % 2} for m in inputs}
    return Batch(views, own, labels)


def counted(modules):
    """Return a counter of the calls of modules, by their names."""
    calls = Counter()
    for name, module in modules.items():
        module.register_forward_hook(
            lambda *_, name=name: calls.update([name])
        )
    return calls


def test_every_box_leads_from_the_first_row_to_the_last(drawn):
    rows, boxes, flows = drawn
    depth = {name: n for n, row in enumerate(rows) for name in row}
    assert len(depth) == sum(map(len, rows)) == len(boxes)
    for flow in flows:
        assert depth[flow.start] <= depth[flow.end]
        beside = depth[flow.start] == depth[flow.end]
        assert not (beside and flow.left)
    down = {(f.start, f.end) for f in flows if depth[f.start] < depth[f.end]}
    starts = {name for name, _ in down}
    ends = {name for _, name in down}
    sideways = {f.end for f in flows}
    assert set(boxes) - starts <= {*rows[-1], "rebuilt"}
    assert set(boxes) - ends - sideways <= {*rows[0]}


def test_no_arrow_crosses_a_box_between(drawn):
    rows, boxes, flows = drawn
    depth = {name: n for n, row in enumerate(rows) for name in row}
    for flow in flows:
        start, end = boxes[flow.start], boxes[flow.end]
        narrow = min(start, end, key=lambda box: box.wide)
        left = flow.left
        if left is None:
            left = narrow.left + narrow.wide / 2
        for row in rows[depth[flow.start] + 1 : depth[flow.end]]:
            for box in row.values():
                assert not box.left < left < box.right
        if depth[flow.start] < depth[flow.end]:
            assert start.left < left < start.right
            assert end.left < left < end.right


def test_boxes_of_a_row_stand_apart(drawn):
    rows, _, _ = drawn
    for row in rows:
        boxes = sorted(row.values(), key=lambda box: box.left)
        for box, following in zip(boxes, boxes[1:], strict=False):
            assert box.right < following.left


def test_no_text_is_wider_than_its_box():
    for name in NAMES:
        figure = getattr(page, f"{name}_flow")()
        figure.draw_without_rendering()
        (axis,) = figure.axes
        frames = [p for p in axis.patches if hasattr(p, "get_xy")]
        frames = [p for p in frames if p.get_zorder() == 2]
        texts = axis.texts[-len(frames) :]
        for frame, text in zip(frames, texts, strict=True):
            inside, around = (
                text.get_window_extent(),
                frame.get_window_extent(),
            )
            assert around.x0 + 2 < inside.x0 < inside.x1 < around.x1 - 2
            assert around.y0 + 2 < inside.y0 < inside.y1 < around.y1 - 2


def test_maps_of_pcrl_pass_attention_and_decoder_as_drawn(monkeypatch):
    _, boxes, flows = handed("preservation", monkeypatch)
    torch.manual_seed(0)
    objective = build("PCRL", ("T1",), width=1, size=16)
    heads = objective.further_heads["T1"]
    copied = objective.momentum_copy["further_heads"]["T1"]
    calls = counted(
        {
            "encoder ordinary": objective.encoders["T1"],
            "encoder momentum": objective.momentum_copy["encoders"]["T1"],
            "attention": heads["attention"],
            "copied attention": copied["attention"],
            "query": heads["projector"],
            "key": copied["projector"],
            "decoder": objective.decoders["T1"],
        }
    )
    objective(batch_of(objective))
    calls["attention"] += calls.pop("copied attention")
    # the mixture's projection is for queues that hold it
    calls["query"] -= 1
    assert calls == {name: len(into(flows, name)) for name in calls}
    for name in calls:
        assert boxes[name].learned
    first = boxes["crop ordinary"].text
    term = objective.terms["PCRL"]
    view = term.views["ordinary"]
    shares = [float(one) / 100 for one in re.findall(r"\d+", first)]
    assert shares == [min(view.shares), max(view.shares)]
    labels = " ".join(flow.label for flow in flows)
    numbers = {float(one) for one in re.findall(r"\d*\.\d+", labels)}
    assert numbers == {view.least_overlap, objective.momentum_rate}
    assert f"{len(term.get_buffer('queue_T1')):,}" in boxes["contrast"].text


def test_corruptions_are_named_in_their_order(monkeypatch):
    _, boxes, _ = handed("preservation", monkeypatch)
    said = re.findall(r"\w+ed", boxes["corrupted ordinary"].text)
    done = []

    def spy(name):
        change = getattr(preservation, name)

        def noted(images, *others):
            done.append(name)
            return change(images, *others)

        monkeypatch.setattr(preservation, name, noted)

    for name in ("shuffled", "painted", "blurred"):
        spy(name)
    view = preservation.Corrupted("ordinary")
    view({"T1": torch.rand(2, 1, 16, 16, 16)}, Stream(torch.arange(2), 0, 0))
    assert done == said


def test_images_of_swav_share_and_part_as_drawn(monkeypatch):
    _, boxes, flows = handed("clustering", monkeypatch)
    torch.manual_seed(0)
    objective = build("SwAV-CE", width=1, size=16)
    term = objective.terms["SwAV"]
    encoders = {id(encoder) for encoder in objective.encoders.values()}
    assert len(encoders) == 1 and "one encoder" in boxes["encoder"].text
    for m in objective.modalities:
        (number,) = re.findall(
            r"(\d+) prototypes", boxes[f"prototypes {m}"].text
        )
        assert int(number) == len(term.prototypes[m])
        for kind in ("crops", "prototypes", "codes", "scores"):
            assert boxes[f"{kind} {m}"].colour == MODALITY[m]
    large, small = re.findall(r"(\d) (?:large|small)", boxes["crops T1"].text)
    sides = [view.side for view in term.views.values()]
    assert Counter(sides) == {max(sides): int(large), min(sides): int(small)}
    # the labels learn from the images themselves, by the same encoder
    assert into(flows, "layer") == ["encoder"]
    assert "labelled" in into(flows, "encoder")
    seen = []

    def keep(codes, scores, _):
        seen.append((codes, scores))
        return scores[0].sum()

    monkeypatch.setattr(clustering, "swapped_prediction", keep)
    objective(batch_of(objective, rows=16))
    assert len(into(flows, "swapped")) == 2 * len(seen)
    for codes, scores in seen:
        assert [sides[k] for k in codes] == [max(sides)] * int(large)
        assert len(scores) == int(large) + int(small)
        assert {one.shape[1] for one in scores} == {int(number)}


def test_a_person_is_prepared_in_the_order_drawn(monkeypatch, tmp_path):
    _, boxes, flows = handed("preprocessing", monkeypatch)
    done, shapes = [], []
    mni = template.template(24)
    same = registration.Registration(np.eye(4), 1.0)
    zeros = pd.DataFrame({"volume": range(120), "framewise_displacement": 0.0})

    def spy(place, function, name, value):
        def noted(*given, **_):
            done.append(name)
            return value(*given) if callable(value) else value

        monkeypatch.setattr(place, function, noted)

    resample = person.space.resample

    def once(*given, mask=None):
        # what has a mask is no mask itself
        if mask is not None:
            done.append("once")
            shapes.append(given[-1])
        return resample(*given, mask=mask)

    def still(bold, *_):
        return motion.Motion(bold, zeros, None)

    monkeypatch.setattr(person, "similarity_to_template", lambda *_: {})
    monkeypatch.setattr(person.space, "resample", once)
    spy(registration, "to_template", "to MNI", same)
    spy(registration, "to_anatomy", "to T1", same)
    spy(person.brain, "brain_mask", "mask", mni.mask)
    spy(person, "realign", "motion", still)
    spy(person, "falff", "ratio", lambda *_: mni.grey + 0.1)
    series = np.repeat(mni.t1[..., None], 120, 3)
    for name, volume in (("t1", mni.t1), ("bold", series)):
        image = nib.Nifti1Image(volume, mni.affine)
        image.header.set_xyzt_units("mm", "sec")
        nib.save(image, tmp_path / f"{name}.nii.gz")
    files = tmp_path / "t1.nii.gz", tmp_path / "bold.nii.gz"
    person.prepare(*files, progress=False)
    pairs = {(flow.start, flow.end) for flow in flows}
    for names in (["T1", *done[:3]], ["BOLD", *done[3:]]):
        assert names[-1] == "once"
        assert pairs >= {*zip(names, names[1:], strict=False)}
    assert set(shapes) == {(64, 64, 64)}
    assert "64³ voxels of 3 mm" in boxes["once"].text


def test_numbers_of_parameters_are_those_of_the_transforms(monkeypatch):
    _, boxes, _ = handed("preprocessing", monkeypatch)
    found = []

    def keep(fixed, moving, starts, *_):
        found.append(starts[0].GetNumberOfParameters())
        raise StopIteration

    monkeypatch.setattr(registration, "_best", keep)
    mni = template.template(24)
    head = mni.t1, mni.affine
    with pytest.raises(StopIteration):
        registration.to_template(*head)
    with pytest.raises(StopIteration):
        registration.to_anatomy(*head, *head, mni.mask)
    said = [boxes[name].text for name in ("to MNI", "to T1")]
    numbers = re.findall(r"(\d) parameters", " ".join(said))
    assert [int(number) for number in numbers] == found
