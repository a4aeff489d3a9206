"""Training as a user meets it: same seed, same bits, killed or not; clear
errors.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mmssl.cohorts import natural
from mmssl.cohorts.digits import read_digits
from mmssl.ledger.manifest import write_manifest
from mmssl.objectives.language import TERMS
from mmssl.objectives.supervised import CE
from mmssl.pretrain import encoders, loop
from mmssl.pretrain.encoders import embed, load_encoders, write_embeddings
from mmssl.pretrain.fit import fit, load_objective

SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "width": 4,
    "latent": 8,
    "progress": False,
}


def cached_embeddings(run):
    with np.load(run / "embeddings.npz") as z:
        return {m: z[m] for m in z.files}


def objective_state(run):
    checkpoint = torch.load(run / "checkpoint.ckpt", weights_only=True)
    return checkpoint["objective"]


def assert_same_bits(one, other):
    """Everything a run left, but for the record of where it ran."""
    for name in ("history.csv", "dimensions.csv"):
        assert (one / name).read_text() == (other / name).read_text()
    for arrays in (cached_embeddings, objective_state):
        first, second = arrays(one), arrays(other)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("objective", ["CR-XX-CC", "RR-AE", "Supervised"])
def test_same_seed_same_bits_other_seed_other_ones(
    cohort, tmp_path, objective
):
    options = {**SMALL, "dropout": 0.3}
    one = fit(cohort, objective, tmp_path / "one", **options)
    torch.manual_seed(12345)  # the global generator plays no part
    two = fit(cohort, objective, tmp_path / "two", **options)
    assert_same_bits(one, two)
    three = fit(cohort, objective, tmp_path / "three", seed=1, **options)
    first, third = cached_embeddings(one), cached_embeddings(three)
    assert not np.array_equal(first["T1"], third["T1"])


RUN = """
import sys
from mmssl import cohorts, pretrain
pretrain.fit(
    cohorts.load(sys.argv[1]),
    "CR-CC",
    sys.argv[2],
    epochs=12,
    batch_size=4,
    width=4,
    latent=8,
    progress=False,
)
"""


def test_killed_and_resumed_equals_unbroken(cohort, tmp_path):
    command = [sys.executable, "-c", RUN, str(cohort.path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, str(tmp_path / "whole")], check=True, env=environment
    )
    broken = tmp_path / "broken"
    checkpoint = tmp_path / "broken.partial" / "last.ckpt"
    for kill in range(2):
        process = subprocess.Popen([*command, str(broken)], env=environment)
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == seen:
            time.sleep(0.002)
            assert process.poll() is None, (
                "the run ended before it could be killed"
            )
        # once right after a checkpoint, once in the middle of a step
        time.sleep(0.03 * kill)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not broken.exists()
    done = torch.load(checkpoint, weights_only=True)["epoch"]
    subprocess.run([*command, str(broken)], check=True, env=environment)
    assert done < 11
    assert_same_bits(tmp_path / "whole", broken)
    assert not (tmp_path / "broken.partial").exists()


def test_finished_run_returns_at_once_and_refuses_other_parameters(
    cohort, tmp_path
):
    run = fit(cohort, "RR", tmp_path / "run", **SMALL)
    before = (run / "params.json").stat().st_mtime_ns
    # the same objective, spelt as in 001
    fit(cohort, "S", tmp_path / "run", **SMALL)
    assert (run / "params.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="seed is 0, asked for 1"):
        fit(cohort, "RR", tmp_path / "run", seed=1, **SMALL)
    # of another cohort, the files that are another's
    other = replace(cohort, hashes={**cohort.hashes, "splits.json": "0"})
    message = r"cohort is {'hashes': {'splits.json': '\w+'}}, asked for"
    with pytest.raises(ValueError, match=message):
        fit(other, "RR", tmp_path / "run", **SMALL)
    partial = tmp_path / "other.partial"
    partial.mkdir()
    (partial / "params.json").write_text((run / "params.json").read_text())
    with pytest.raises(ValueError, match="objective is 'RR'"):
        fit(cohort, "CR", tmp_path / "other", **SMALL)
    record = json.loads((run / "params.json").read_text())
    record["code"]["mmssl.losses.infonce"] = "other source"
    (partial / "params.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="code is"):
        fit(cohort, "RR", tmp_path / "other", **SMALL)


def test_a_finished_run_of_other_code_is_refused_and_named(
    cohort, tmp_path, monkeypatch
):
    run = fit(cohort, "RR", tmp_path / "run", **SMALL)
    record = json.loads((run / "params.json").read_text())
    term = "mmssl.objectives.contrastive"
    record["code"][term] = "other source"
    (run / "params.json").write_text(json.dumps(record))
    write_manifest(run)
    with pytest.raises(
        ValueError, match=rf"code is \{{'{term}': 'other source'\}}, asked"
    ):
        fit(cohort, "RR", tmp_path / "run", **SMALL)
    monkeypatch.setitem(TERMS, "Own", OwnLabels)
    own = fit(cohort, "Own", tmp_path / "own", **SMALL)
    fit(cohort, "Own", tmp_path / "own", **SMALL)
    assert (
        f"{__name__}.OwnLabels"
        in json.loads((own / "params.json").read_text())["code"]
    )
    monkeypatch.setattr(OwnLabels, "supervised", 1)
    with pytest.raises(ValueError, match=rf"code is .*{__name__}.OwnLabels"):
        fit(cohort, "Own", tmp_path / "own", **SMALL)


def test_history_names_every_term_and_follows_one_cycle(cohort, tmp_path):
    run = fit(cohort, "CR-XX", tmp_path / "run", **{**SMALL, "epochs": 5})
    history = pd.read_csv(run / "history.csv")
    assert list(history["epoch"]) == [0, 1, 2, 3, 4]
    assert list(history["step"]) == [2, 4, 6, 8, 10]
    for role in ("train", "valid"):
        parts = [
            f"{role}/{t}/{k}"
            for t in ("CR", "XX")
            for k in ("loss", "penalty")
        ]
        np.testing.assert_allclose(
            history[f"{role}/loss"], history[parts].sum(axis=1), rtol=1e-6
        )
    assert history["lr"].iloc[-1] == pytest.approx(4e-8, rel=1e-3)
    assert history["lr"].max() <= 0.01
    dimensions = pd.read_csv(run / "dimensions.csv")
    assert len(dimensions) == 5 * 2 * 8
    last = dimensions[(dimensions.epoch == 4) & (dimensions.modality == "T1")]
    assert last["std"].min() == pytest.approx(history["std_min/T1"].iloc[-1])
    record = json.loads((run / "params.json").read_text())
    assert record["cohort"]["hashes"] == dict(cohort.hashes)
    assert record["code"] and record["threads"] and record["versions"]


class Recorded:
    """A recipe that changes nothing and remembers the steps it was drawn
    for.
    """

    def __init__(self):
        self.steps = []

    def __call__(self, volumes, stream):
        self.steps.append(stream.step)
        return volumes

    def __repr__(self):
        return "Recorded()"


def test_validation_views_are_drawn_as_in_training(cohort, tmp_path):
    """By the run's own recipe, with the same keys in every epoch."""
    recipe = Recorded()
    fit(cohort, "RR", tmp_path / "run", augment=recipe, **SMALL)
    trained, validated = [0, 1, 2, 3], 2**40
    counts = [recipe.steps.count(step) for step in trained]
    assert min(counts) == max(counts) > 0
    # one batch of validation people after each of the two epochs
    assert recipe.steps.count(validated) > 0
    assert set(recipe.steps) == {*trained, validated}


def test_a_finished_run_of_another_augmentation_is_refused(
    cohort, tmp_path, monkeypatch
):
    """A user's own recipe of the same name is known by its code."""
    for _ in range(2):
        fit(cohort, "RR", tmp_path / "run", augment=Recorded(), **SMALL)
    monkeypatch.setattr(Recorded, "strength", 2, raising=False)
    with pytest.raises(ValueError, match=rf"code is .*{__name__}.Recorded"):
        fit(cohort, "RR", tmp_path / "run", augment=Recorded(), **SMALL)


def test_the_last_epoch_is_kept_on_demand(cohort, tmp_path, monkeypatch):
    states = []
    summary = loop.Pretraining.summary

    def spy(module):
        state = module.objective.state_dict()
        states.append({k: v.clone() for k, v in state.items()})
        return summary(module)

    monkeypatch.setattr(loop.Pretraining, "summary", spy)
    kept = {}
    for keep in ("best", "last"):
        options = {**SMALL, "epochs": 12, "seed": 3}
        run = fit(cohort, "CR-AE", tmp_path / keep, keep=keep, **options)
        kept[keep] = objective_state(run)
        history = pd.read_csv(run / "history.csv")
        best = history["valid/loss"].idxmin()
        expected = states[-1] if keep == "last" else states[best]
        for name, value in expected.items():
            assert torch.equal(kept[keep][name], value), name
        states.clear()
    assert best != 11, "the case says nothing where the last is the best"
    with pytest.raises(ValueError, match="keep='first', expected"):
        fit(cohort, "RR", tmp_path / "first", keep="first", **SMALL)


def test_classes_are_balanced_on_demand(cohort, tmp_path, monkeypatch):
    """001, section 3.1: as for a supervised objective, of the first task."""
    drawn = []
    batch = loop.Pretraining.batch

    def spy(module, role, *place):
        made = batch(module, role, *place)
        if role == "train":
            drawn.append(made.labels["T1"]["diagnosis"])
        return made

    monkeypatch.setattr(loop.Pretraining, "batch", spy)
    labels = {}
    for name, objective, balanced in (
        ("as they come", "RR", False),
        ("balanced", "RR", True),
        ("supervised", "Supervised", False),
    ):
        run = tmp_path / name
        fit(cohort, objective, run, balanced=balanced, **SMALL)
        labels[name] = torch.cat(drawn)
        drawn.clear()
    assert (labels["as they come"] == -1).any()
    assert torch.equal(labels["balanced"], labels["supervised"])


def test_brains_are_standardised_with_training_people_alone(
    make_cohort, tmp_path
):
    one = make_cohort(tmp_path / "one", intensity="brain")
    changed = np.array(one.volumes["T1"])
    changed[16:] = 5 * changed[16:] + 40  # nobody of the training fold
    two = make_cohort(tmp_path / "two", intensity="brain", T1=changed)
    first = fit(one, "AE", tmp_path / "run-one", **SMALL)
    second = fit(two, "AE", tmp_path / "run-two", **SMALL)
    assert load_encoders(first)[1] == load_encoders(second)[1]
    others = [cached_embeddings(run)["T1"][16:] for run in (first, second)]
    assert not np.array_equal(*others)
    shapes = [embed(run, one)["T1"][:16].shape for run in (first, second)]
    assert shapes[0] == shapes[1]


def test_embedding_is_frozen_cached_and_follows_the_cohort_order(
    cohort, make_cohort, tmp_path
):
    run = fit(cohort, "CR", tmp_path / "run", **SMALL)
    encoders, _ = load_encoders(run)
    before = {k: v.clone() for k, v in encoders["T1"].state_dict().items()}
    cached = embed(run, cohort)
    other = make_cohort(
        tmp_path / "same-images", fALFF=np.array(cohort.volumes["fALFF"]) + 1
    )
    computed = embed(run, other)
    assert other.hashes != cohort.hashes
    assert np.array_equal(computed["T1"], cached["T1"])
    x = np.asarray(cohort.volumes["T1"][3:4], np.float32)
    with torch.no_grad():
        alone = encoders["T1"](torch.from_numpy(x)[None]).z.numpy()
    np.testing.assert_allclose(alone[0], cached["T1"][3], rtol=1e-4, atol=1e-5)
    after = encoders["T1"].state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Two 2D modalities of one and of three channels, any two of a class a
    pair.
    """
    digits = read_digits("mnist").first(100, 20)
    return natural.mnist_svhn(
        tmp_path_factory.mktemp("natural") / "painted", digits, folds=2
    )


def test_a_batch_pairs_by_class_keeps_channels_and_never_mirrors(
    painted, monkeypatch, tmp_path
):
    batches = []
    original = loop.Pretraining.batch

    def batch(self, role, epoch, index):
        made = original(self, role, epoch, index)
        batches.append((role, made))
        return made

    monkeypatch.setattr(loop.Pretraining, "batch", batch)
    fit(painted, "RR", tmp_path / "run", **SMALL)
    row_of = {}
    for m in painted.modalities:
        images = np.asarray(painted.volumes[m], np.float32)
        row_of[m] = {x.tobytes(): i for i, x in enumerate(images)}
    fold = {role: set(painted.rows(role, 0)) for role in ("train", "valid")}
    apart = 0
    for role, made in batches:
        images = made.views["main"].volumes
        assert images["painted"].shape == (8, 3, 32, 32)
        assert images["digits"].shape[1] == 1
        rows = {}
        for m, x in images.items():
            x = x.numpy().reshape(len(x), *painted.volumes[m].shape[1:])
            rows[m] = [row_of[m][image.tobytes()] for image in x]
            assert set(rows[m]) <= fold[role]
        for m, y in made.labels.items():
            assert np.array_equal(y["digit"], painted.labels()[rows[m]])
        assert np.array_equal(*(painted.labels()[rows[m]] for m in rows))
        apart += rows["digits"] != rows["painted"]
        assert role == "train" or rows["digits"] == rows["painted"]
    assert apart == sum(role == "train" for role, _ in batches)
    encoders, _ = load_encoders(tmp_path / "run")
    assert encoders["painted"].input_shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "CRR"}, "unknown term 'CRR'"),
        ({"objective": "CR", "temperature": 1}, "unknown.*temperature"),
        ({"objective": "CR", "weights": {"XX": 1}}, "weights.*XX"),
        ({"objective": "CR", "batch_size": 1}, "batch of 1.*at least 2"),
        ({"objective": "CR", "fold": 3}, "fold 3"),
        ({"objective": "CR", "precision": "fp8"}, "fp8"),
        ({"objective": "CR", "epochs": 0}, "epochs=0"),
        ({"objective": "CR", "optimiser": "adam"}, "'adam', expected.*larc"),
        ({"objective": "CE", "task": "apoe"}, "'apoe'.*diagnosis"),
    ],
)
def test_bad_arguments_fail_before_anything_is_written(
    cohort, tmp_path, arguments, message
):
    with pytest.raises(ValueError, match=message):
        fit(cohort, run_dir=tmp_path / "run", **{**SMALL, **arguments})
    assert not list(tmp_path.iterdir())


class OwnLabels(CE):
    """A supervised term that no code of the package names."""


def test_a_supervised_term_gets_the_cohorts_task_by_its_own_declaration(
    cohort, tmp_path, monkeypatch
):
    """Alone it is drawn class-balanced, and trains as cross-entropy does."""
    monkeypatch.setitem(TERMS, "Own", OwnLabels)
    run = fit(cohort, "Own", tmp_path / "own", **SMALL)
    expected = fit(cohort, "Supervised", tmp_path / "ce", **SMALL)
    other = cached_embeddings(expected)
    for m, z in cached_embeddings(run).items():
        assert np.array_equal(z, other[m])
    with pytest.raises(ValueError, match="'apoe'.*diagnosis"):
        fit(cohort, "CR-Own", tmp_path / "run", task="apoe", **SMALL)


def test_one_class_only_and_foreign_cohorts(tmp_path, cohort, make_cohort):
    held_out = ("HC",) * 20 + ("AD",) * 4
    healthy = make_cohort(tmp_path / "healthy", groups=held_out)
    with pytest.raises(ValueError, match=r"1 class\(es\) of 'diagnosis'"):
        fit(healthy, "Supervised", tmp_path / "run", **SMALL)
    with pytest.raises(ValueError, match="finished run"):
        embed(tmp_path / "nowhere", cohort)


def test_a_run_of_one_step_learns_nothing_and_is_refused(cohort, tmp_path):
    options = {**SMALL, "epochs": 1, "batch_size": 16}
    with pytest.raises(
        ValueError,
        match=r"epochs=1 of 1 step \(batch of 16\), expected at "
        "least 2 steps",
    ):
        fit(cohort, "RR", tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def tagged(device):
    """Save tensors as if they lay on a device that is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.serialization, "location_tag", lambda storage: device
        )
        yield


def tags(file):
    """Devices that the tensors of a checkpoint are tagged with."""
    found = set()
    torch.load(
        file,
        map_location=lambda storage, tag: found.add(tag) or storage,
        weights_only=True,
    )
    return found


def test_a_checkpoint_made_on_a_gpu_is_read_without_one(
    cohort, make_cohort, tmp_path
):
    run = fit(cohort, "RR", tmp_path / "run", **SMALL)
    other = make_cohort(tmp_path / "other", groups=("HC", "AD"))
    expected = embed(run, other)
    file = run / "checkpoint.ckpt"
    assert tags(file) == {"cpu"}
    content = torch.load(file, weights_only=True)
    with tagged("cuda:0"):
        torch.save(content, file)
    write_manifest(run)
    assert tags(file) == {"cuda:0"}
    for device in ("cpu", torch.device("cpu")):
        for m, z in embed(run, other, device=device).items():
            assert np.array_equal(z, expected[m])
    with pytest.raises(ValueError, match="device is 'gpu', expected one that"):
        embed(run, other, device="gpu")
    file.write_bytes(file.read_bytes()[:5000])
    write_manifest(run)
    with pytest.raises(ValueError, match=r"checkpoint\.ckpt: not a readable"):
        embed(run, other)


class Placed(torch.nn.Module):
    """An encoder that notes on which device it runs, on what."""

    input_shape = (1, 16, 16, 16)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        """Return zeros."""
        self.seen = {x.device.type, self.weight.device.type}
        return SimpleNamespace(z=torch.zeros(len(x), 2))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_cohort_is_embedded_where_it_is_asked(
    cohort, tmp_path, monkeypatch, device
):
    """On a device without memory, which every machine has."""
    placed = Placed()
    loaded = {"T1": placed}, {"T1": None}
    monkeypatch.setattr(encoders, "load_encoders", lambda _: loaded)
    (tmp_path / "params.json").write_text('{"cohort": {"hashes": {}}}')
    z = embed(tmp_path, cohort, device=device)
    assert z["T1"].shape == (len(cohort), 2)
    assert placed.seen == {device}


def test_embeddings_say_whose_they_are(cohort, make_cohort, tmp_path):
    run = fit(cohort, "RR", tmp_path / "run", **SMALL)
    other = make_cohort(tmp_path / "other", groups=("HC", "AD"))
    z = embed(run, other)
    exported = write_embeddings(tmp_path / "z.npz", z, other)
    for file, of in ((run / "embeddings.npz", cohort), (exported, other)):
        with np.load(file) as saved:
            assert saved["participant_id"].tolist() == list(of.subjects)
            assert saved["session"].tolist() == ["1"] * len(of)
            assert saved["T1"].shape == (len(of), 8)
    assert set(embed(run, cohort)) == {"T1", "fALFF"}
    with pytest.raises(ValueError, match=r"T1: 3 rows, expected 24 as"):
        write_embeddings(tmp_path / "y.npz", {"T1": z["T1"][:3]}, other)
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        write_embeddings(tmp_path / "y.csv", z, other)


def test_what_a_run_leaves_lies_on_no_device(cohort, tmp_path, monkeypatch):
    """The best weights are written where training is, the checkpoint is of
    the CPU.
    """
    original = loop.Recorder._save_kept

    def save(self, trainer, module):
        with tagged("cuda:0"):
            original(self, trainer, module)
        assert tags(self.folder / loop.BEST) == {"cuda:0"}

    monkeypatch.setattr(loop.Recorder, "_save_kept", save)
    run = fit(cohort, "RR", tmp_path / "run", **SMALL)
    assert tags(run / "checkpoint.ckpt") == {"cpu"}


class Poison:
    """Volumes as they are, but for one step of the first run that reaches
    it.
    """

    def __init__(self, step):
        self.step, self.spent = step, False

    def __call__(self, volumes, stream):
        """Return the volumes, once spoilt."""
        if stream.step != self.step or self.spent:
            return volumes
        self.spent = True
        return {m: x * float("nan") for m, x in volumes.items()}

    def __repr__(self):
        """Name the recipe, as in the parameters of a run."""
        return "Poison()"


@pytest.mark.parametrize(
    "objective, part", [("AE", "AE/loss"), ("CR-XX", "CR/loss.*XX/loss")]
)
def test_a_loss_that_is_not_finite_names_itself_and_the_run_can_go_on(
    cohort, tmp_path, objective, part
):
    options = {**SMALL, "epochs": 4}
    poison = Poison(step=5)
    with pytest.raises(FloatingPointError, match=f"{part}.*epoch 2, batch 1"):
        fit(cohort, objective, tmp_path / "run", augment=poison, **options)
    last = torch.load(
        tmp_path / "run.partial" / "last.ckpt", weights_only=True
    )
    assert last["epoch"] == 1 and not (tmp_path / "run").exists()
    assert all(v.isfinite().all() for v in last["state_dict"].values())
    resumed = fit(
        cohort, objective, tmp_path / "run", augment=poison, **options
    )
    whole = fit(
        cohort, objective, tmp_path / "whole", augment=Poison(-1), **options
    )
    assert_same_bits(resumed, whole)


def test_a_run_that_pairs_by_class_resumes_bit_for_bit(painted, tmp_path):
    options = {**SMALL, "epochs": 4}  # 6 steps an epoch
    poison = Poison(step=13)
    with pytest.raises(FloatingPointError, match="RR/loss.*epoch 2, batch 1"):
        fit(painted, "RR", tmp_path / "run", augment=poison, **options)
    resumed = fit(painted, "RR", tmp_path / "run", augment=poison, **options)
    assert_same_bits(
        resumed,
        fit(painted, "RR", tmp_path / "whole", augment=Poison(-1), **options),
    )


def test_weights_that_are_not_finite_never_reach_a_checkpoint(
    cohort, make_cohort, tmp_path, monkeypatch
):
    """The last step of an epoch may have a finite loss and a gradient that is
    not.
    """
    spent = []
    original = loop.Pretraining.on_after_backward

    def spoil(self):
        original(self)
        # the last step of the second epoch
        if self.global_step == 3 and not spent:
            spent.append(True)
            next(self.objective.parameters()).grad.fill_(float("inf"))

    monkeypatch.setattr(loop.Pretraining, "on_after_backward", spoil)
    for valid in (True, False):
        spent.clear()
        people = cohort
        if not valid:
            people = make_cohort(tmp_path / "no-valid", valid=0)
        run = tmp_path / f"run-{valid}"
        with pytest.raises(
            FloatingPointError, match="AE.*epoch 1, (validation )?batch"
        ):
            fit(people, "AE", run, **{**SMALL, "epochs": 3})
        last = torch.load(
            run.with_name(run.name + ".partial") / "last.ckpt",
            weights_only=True,
        )
        assert last["epoch"] == 0
        assert all(v.isfinite().all() for v in last["state_dict"].values())
        fit(people, "AE", run, **{**SMALL, "epochs": 3})
        assert pd.read_csv(run / "history.csv")["train/loss"].notna().all()


class Stopped(Exception):
    """In the middle of an epoch."""


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_named_and_kept(
    cohort, tmp_path, monkeypatch, share
):
    run = tmp_path / "run"
    options = {**SMALL, "epochs": 4}
    write_down = loop.Recorder._write_down

    def stop(recorder, trainer, *values):
        if trainer.current_epoch == 2:
            raise Stopped
        write_down(recorder, trainer, *values)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(loop.Recorder, "_write_down", stop)
        fit(cohort, "RR", run, **options)
    last = tmp_path / "run.partial" / "last.ckpt"
    content = last.read_bytes()
    last.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="last.ckpt: not a readable checkp"):
        fit(cohort, "RR", run, **options)
    last.write_bytes(content)
    fit(cohort, "RR", run, **options)


def test_an_objective_is_loaded_with_all_that_it_learned(cohort, tmp_path):
    """Heads and decoders too: its loss is the one it had."""
    run = fit(
        cohort,
        "PCRL",
        tmp_path / "run",
        learning_rate=1e-3,
        queue=8,
        queued=("momentum",),
        **SMALL,
    )
    learned = encoders.load_weights(run)
    loaded = load_objective(run, cohort)
    assert not loaded.training
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, learned.objective[name])
    assert loaded.terms["PCRL"].filled_T1.all()
    small = replace(cohort, modalities=("T1",))
    with pytest.raises(ValueError, match="not of the modalities or the size"):
        load_objective(run, small)


def test_a_smaller_learning_rate_learns_other_weights(cohort, tmp_path):
    runs = []
    for rate in (0.01, 1e-3):
        name = tmp_path / f"{rate}"
        runs.append(fit(cohort, "RR", name, learning_rate=rate, **SMALL))
    rates = [pd.read_csv(run / "history.csv")["lr"].max() for run in runs]
    assert rates[0] == pytest.approx(10 * rates[1])
    assert pd.read_csv(runs[0] / "history.csv")["lr"].max() <= 0.01
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="learning_rate=.*above 0"):
            fit(cohort, "RR", tmp_path / "bad", learning_rate=rate, **SMALL)


@pytest.mark.parametrize(
    ("optimiser", "rates"), [("larc", (0.6, 0.2)), ("sgd", (1e-3, 0.5))]
)
def test_a_run_follows_its_optimiser_and_says_so(
    cohort, tmp_path, optimiser, rates
):
    """By default at the rate of its paper."""
    usual = fit(cohort, "RR", tmp_path / "usual", **SMALL)
    learned = [objective_state(usual)]
    for rate, asked in zip(rates, (None, rates[1]), strict=True):
        run = tmp_path / f"{rate}"
        options = {**SMALL, "optimiser": optimiser, "learning_rate": asked}
        fit(cohort, "RR", run, **options)
        record = json.loads((run / "params.json").read_text())
        assert record["optimiser"] == optimiser
        assert record["learning_rate"] == rate
        # the last step of either epoch, of four steps that are too few to
        # warm up
        last = rate / 1000 if optimiser == "larc" else 0
        expected = [
            last + (rate - last) / 2 * (1 + np.cos(np.pi * step / 4))
            for step in (1, 3)
        ]
        found = pd.read_csv(run / "history.csv")["lr"]
        np.testing.assert_allclose(found, expected)
        learned.append(objective_state(run))
    weights = [state["encoders.T1.convs.0.weight"] for state in learned]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    record = json.loads((usual / "params.json").read_text())
    assert record["optimiser"] == "radam" and record["learning_rate"] == 0.01
    with pytest.raises(ValueError, match="optimiser is 'radam', asked for"):
        fit(cohort, "RR", usual, optimiser=optimiser, **SMALL)


class LateLabels(CE):
    """Cross-entropy whose classifiers learn nothing in five steps."""

    def after_backward(self, step):
        """Drop the gradients of the first steps."""
        if step < 5:
            for weight in self.classifiers.parameters():
                weight.grad = None


@pytest.mark.parametrize("optimiser", ["radam", "larc", "sgd"])
def test_weights_without_a_gradient_wait_and_the_run_resumes_bit_for_bit(
    cohort, tmp_path, monkeypatch, optimiser
):
    """Stopped in the third epoch of two steps each, while they wait."""
    monkeypatch.setitem(TERMS, "Late", LateLabels)
    classifiers = {}
    step = loop.Pretraining.training_step

    def spy(module, index, _=None):
        term = module.objective.terms["Late"]
        weight = term.classifiers["T1"].weight.detach().clone()
        classifiers[module.global_step] = weight
        return step(module, index)

    monkeypatch.setattr(loop.Pretraining, "training_step", spy)
    options = {**SMALL, "epochs": 5, "optimiser": optimiser}
    poison = Poison(step=5)
    with pytest.raises(FloatingPointError, match="epoch 2, batch 1"):
        fit(cohort, "RR-Late", tmp_path / "run", augment=poison, **options)
    saved = torch.load(
        tmp_path / "run.partial" / "last.ckpt", weights_only=True
    )
    (state,) = saved["optimizer_states"]
    states, all_weights = state["state"], state["param_groups"][0]["params"]
    assert 0 < len(states) == len(all_weights) - 4  # two layers of two each
    resumed = fit(
        cohort, "RR-Late", tmp_path / "run", augment=poison, **options
    )
    whole = fit(
        cohort, "RR-Late", tmp_path / "whole", augment=Poison(-1), **options
    )
    assert_same_bits(resumed, whole)
    first = classifiers[0]
    unmoved = [torch.equal(classifiers[k], first) for k in range(10)]
    assert unmoved == [True] * 6 + [False] * 4
