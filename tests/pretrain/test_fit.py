"""Training as a user meets it: same seed, same bits, killed or not; clear
errors.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from mmssl.cohorts import natural
from mmssl.cohorts.cohort import write
from mmssl.cohorts.digits import read
from mmssl.pretrain import loop, rankme
from mmssl.pretrain.baselines import untrained
from mmssl.pretrain.draws import Draw
from mmssl.pretrain.encoders import embed, load_encoders
from mmssl.pretrain.fit import fit

SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "width": 4,
    "latent": 8,
    "progress": False,
}


def make_cohort(
    path,
    people=24,
    groups=("HC", "AD", "other"),
    intensity="unit",
    valid=4,
    **changes,
):
    """A cohort of two modalities at 16^3 that share one smooth factor."""
    rng = np.random.default_rng(1)
    ids = [f"person-{i:02d}" for i in range(people)]
    shape = (people, 16, 16, 16)
    shared = rng.normal(size=(people, 1, 1, 1))
    ramp = np.linspace(-1, 1, 16)[:, None, None]
    noise = {m: 0.3 * rng.normal(size=shape) for m in ("T1", "fALFF")}
    volumes = {m: (shared * ramp + x).astype("f2") for m, x in noise.items()}
    return write(
        path,
        name="test",
        kind="test",
        volumes={**volumes, **changes},
        participants=pd.DataFrame(
            {
                "participant_id": ids,
                "group": [groups[i % len(groups)] for i in range(people)],
            }
        ),
        pairs=pd.DataFrame(
            {
                "pair": range(people),
                "participant_id": ids,
                "session": 1,
                "day": 0,
                "downstream": 1,
            }
        ),
        splits={
            "seed": 0,
            "holdout": ids[20:],
            "shift": [],
            "folds": [{"train": ids[:16], "valid": ids[16 : 16 + valid]}],
        },
        mask=np.ones((16, 16, 16), bool),
        affine=np.diag([12.0, 12, 12, 1]),
        intensity=intensity,
        tasks={"diagnosis": {"column": "group", "classes": ["HC", "AD"]}},
    )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("pretrain") / "cohort")


def files(run):
    """Everything a run left, by name, but for the record of where it ran."""
    history = (run / "history.csv").read_text()
    with np.load(run / "embeddings.npz") as z:
        embeddings = {m: z[m] for m in z.files}
    state = torch.load(run / "checkpoint.ckpt", weights_only=True)["objective"]
    return history, (run / "dimensions.csv").read_text(), embeddings, state


def assert_same_bits(one, other):
    for a, b in zip(files(one)[:2], files(other)[:2], strict=True):
        assert a == b
    for a, b in zip(files(one)[2:], files(other)[2:], strict=True):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[k], b[k]) for k in a)


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
    assert not np.array_equal(files(one)[2]["T1"], files(three)[2]["T1"])


RUN = """
import sys
from mmssl import cohorts, pretrain
pretrain.fit(cohorts.load(sys.argv[1]), "CR-CC", sys.argv[2], epochs=12, batch_size=4, width=4,
             latent=8, progress=False)
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


def test_brains_are_standardised_with_training_people_alone(tmp_path):
    one = make_cohort(tmp_path / "one", intensity="brain")
    changed = np.array(one.volumes["T1"])
    changed[16:] = 5 * changed[16:] + 40  # nobody of the training fold
    two = make_cohort(tmp_path / "two", intensity="brain", T1=changed)
    runs = [
        fit(c, "AE", tmp_path / f"run-{c.path.name}", **SMALL)
        for c in (one, two)
    ]
    landmarks = [load_encoders(run)[1] for run in runs]
    assert landmarks[0] == landmarks[1]
    first, second = (embed(run, one)["T1"][:16] for run in runs)
    valid_differs = not np.array_equal(
        files(runs[0])[2]["T1"][16:], files(runs[1])[2]["T1"][16:]
    )
    assert valid_differs
    assert first.shape == second.shape


def test_embedding_is_frozen_cached_and_follows_the_cohort_order(
    cohort, tmp_path
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
    x = torch.from_numpy(np.asarray(cohort.volumes["T1"][3:4], np.float32))[
        None
    ]
    with torch.no_grad():
        alone = encoders["T1"](x).z.numpy()
    np.testing.assert_allclose(alone[0], cached["T1"][3], rtol=1e-4, atol=1e-5)
    after = encoders["T1"].state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_untrained_encoders_depend_on_the_seed_alone(cohort):
    one, two = (untrained(cohort, seed=s, width=4, latent=8) for s in (0, 0))
    assert all(np.array_equal(one[m], two[m]) for m in cohort.modalities)
    other = untrained(cohort, seed=1, width=4, latent=8)
    assert not np.array_equal(one["T1"], other["T1"])
    assert one["T1"].shape == (24, 8)


def test_draws():
    draw = Draw(np.arange(10, 31), 4, seed=0)
    assert len(draw) == 5
    first, again, second = draw.epoch(0), draw.epoch(0), draw.epoch(1)
    assert np.array_equal(first, again) and not np.array_equal(first, second)
    assert len(set(first)) == 20 and set(first) <= set(range(10, 31))
    classes = np.array([0] * 15 + [1] * 4 + [-1] * 2)
    balanced = Draw(np.arange(21), 30, seed=0, classes=classes)
    counts = np.bincount(balanced.epoch(0), minlength=21)
    assert counts[:15].sum() == counts[15:19].sum() == 15
    assert counts[19:].sum() == 0 and (counts[:19] > 0).all()


def test_pairs_are_drawn_anew_by_label_inside_the_fold():
    rows = np.r_[3:40, 50:55]
    labels = np.r_[np.arange(37) % 3, -1, 0, 1, 2, 2]
    label = dict(zip(rows, labels, strict=True))
    draw = Draw(rows, 6, seed=0, pairing=labels)
    seen = []
    for epoch in (0, 1, 0):
        order = [draw.epoch(epoch, m) for m in range(3)]
        # pairing adds no more
        assert np.array_equal(order[0], Draw(rows, 6, seed=0).epoch(epoch))
        assert all(
            len(set(x)) == len(x) and set(x) <= set(rows) for x in order
        )
        assert all(
            [label[a] for a in order[0]] == [label[b] for b in x]
            for x in order
        )
        assert not np.array_equal(order[1], order[2])
        assert [
            b for a, b in zip(order[0], order[1], strict=True) if a == 50
        ] in ([], [50])
        seen.append(order[1])
    assert np.array_equal(seen[0], seen[2]) and not np.array_equal(
        seen[0], seen[1]
    )
    # without a pairing all modalities share the row
    assert np.array_equal(
        Draw(rows, 6, seed=0).epoch(0, 1), Draw(rows, 6, seed=0).epoch(0)
    )


def test_every_pair_of_a_class_is_drawn_equally_often():
    rows, labels = np.arange(8), np.repeat([0, 1], 4)
    counts = np.zeros((8, 8))
    for epoch in range(2000):
        draw = Draw(rows, 8, seed=0, pairing=labels)
        counts[draw.epoch(epoch, 0), draw.epoch(epoch, 1)] += 1
    assert (counts[:4, 4:] == 0).all() and (counts[4:, :4] == 0).all()
    expected, spread = 500, np.sqrt(2000 * 0.25 * 0.75)
    assert abs(counts[:4, :4] - expected).max() < 4 * spread


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Two 2D modalities of one and of three channels, any two of a class a
    pair.
    """
    digits = read("mnist").first(100, 20)
    return natural.mnist_svhn(
        tmp_path_factory.mktemp("natural") / "painted", digits, folds=2
    )


def test_a_batch_pairs_by_class_keeps_channels_and_never_mirrors(
    painted, monkeypatch, tmp_path
):
    taken = []
    original = loop.Pretraining.batch

    def batch(self, role, epoch, index):
        taken.append((role, epoch, original(self, role, epoch, index)))
        return taken[-1][2]

    monkeypatch.setattr(loop.Pretraining, "batch", batch)
    fit(painted, "RR", tmp_path / "run", **SMALL)
    volumes = {
        m: np.asarray(painted.volumes[m], np.float32)
        for m in painted.modalities
    }
    found = {
        m: {x.tobytes(): i for i, x in enumerate(v)}
        for m, v in volumes.items()
    }
    fold = {role: set(painted.rows(role, 0)) for role in ("train", "valid")}
    apart = 0
    for role, _, seen in taken:
        images = seen.views["main"].volumes
        assert (
            images["painted"].shape == (8, 3, 32, 32)
            and images["digits"].shape[1] == 1
        )
        rows = {
            m: [
                found[m][x.numpy().reshape(volumes[m][0].shape).tobytes()]
                for x in images[m]
            ]
            for m in images
        }
        assert (
            set(rows["digits"]) <= fold[role]
            and set(rows["painted"]) <= fold[role]
        )
        for m, y in seen.labels.items():
            assert np.array_equal(y["digit"], painted.labels()[rows[m]])
        assert np.array_equal(*(painted.labels()[rows[m]] for m in rows))
        apart += rows["digits"] != rows["painted"]
        assert role == "train" or rows["digits"] == rows["painted"]
    assert apart == sum(role == "train" for role, *_ in taken)
    encoders, _ = load_encoders(tmp_path / "run")
    assert encoders["painted"].input_shape == (3, 32, 32)


def test_rankme_of_known_spectra(rng):
    q = np.linalg.qr(rng.normal(size=(50, 7)))[0]
    assert rankme.rankme(torch.from_numpy(3 * q)) == pytest.approx(7)
    assert rankme.rankme(
        torch.from_numpy(q[:, :1] @ rng.normal(size=(1, 5)))
    ) == pytest.approx(1)
    sigma = np.array([3.0, 1.0])
    p = sigma / 4
    expected = np.exp(-(p * np.log(p)).sum())
    assert rankme.rankme(torch.from_numpy(q[:, :2] * sigma)) == pytest.approx(
        expected
    )
    assert rankme.rankme(torch.zeros(4, 3)) == 0


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
        ({"objective": "CE", "task": "apoe"}, "'apoe'.*diagnosis"),
    ],
)
def test_bad_arguments_fail_before_anything_is_written(
    cohort, tmp_path, arguments, message
):
    with pytest.raises(ValueError, match=message):
        fit(cohort, run_dir=tmp_path / "run", **{**SMALL, **arguments})
    assert not list(tmp_path.iterdir())


def test_one_class_only_and_foreign_cohorts(tmp_path, cohort):
    healthy = make_cohort(tmp_path / "healthy", groups=("HC", "other"))
    with pytest.raises(ValueError, match=r"1 class\(es\) of 'diagnosis'"):
        fit(healthy, "Supervised", tmp_path / "run", **SMALL)
    with pytest.raises(ValueError, match="finished run"):
        embed(tmp_path / "nowhere", cohort)


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
    cohort, tmp_path, monkeypatch
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
        seen = cohort if valid else make_cohort(tmp_path / "no-valid", valid=0)
        run = tmp_path / f"run-{valid}"
        with pytest.raises(
            FloatingPointError, match="AE.*epoch 1, (validation )?batch"
        ):
            fit(seen, "AE", run, **{**SMALL, "epochs": 3})
        last = torch.load(
            run.with_name(run.name + ".partial") / "last.ckpt",
            weights_only=True,
        )
        assert last["epoch"] == 0
        assert all(v.isfinite().all() for v in last["state_dict"].values())
        fit(seen, "AE", run, **{**SMALL, "epochs": 3})
        assert pd.read_csv(run / "history.csv")["train/loss"].notna().all()
