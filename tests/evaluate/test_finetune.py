"""Fine-tuning: whole networks learn, the best on validation people is kept,
and who is tested is not looked at.
"""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mmssl.evaluate import finetune as tuning
from mmssl.evaluate.finetune import People, Schedule, Target
from mmssl.losses import dice_loss
from mmssl.pretrain.encoders import load_weights
from mmssl.pretrain.fit import fit

SHORT = Schedule(steps=6, batch_size=6, learning_rate=3e-3, validations=2)


@pytest.fixture(scope="module")
def pcrl(cohort, tmp_path_factory):
    """Give a run of PCRL of one epoch on images."""
    return fit(
        cohort,
        "PCRL",
        tmp_path_factory.mktemp("pcrl") / "PCRL",
        epochs=1,
        batch_size=16,
        width=2,
        precision="fp32",
        progress=False,
    )


@pytest.fixture
def people(cohort):
    """Give who learns, chooses and is tested, one pair each."""
    roles = [("train", 0), ("valid", 0), ("holdout", 0)]
    return People(*(cohort.downstream(cohort.rows(*role)) for role in roles))


@pytest.fixture
def inputs(cohort):
    return np.asarray(cohort.volumes["T1"])[:, None]


@pytest.fixture
def diagnosis(cohort):
    return Target("diagnosis", cohort.labels(), ("HC", "AD"))


@pytest.fixture
def square(cohort):
    """Give a square that half of the people show, as the class of each
    pixel.
    """
    values = np.zeros((len(cohort), 32, 32), np.uint8)
    values[::2, 8:20, 8:20] = 1
    return Target("square", values, ("none", "square"))


def state(network):
    return {k: v.clone() for k, v in network.state_dict().items()}


def test_a_start_has_the_weights_of_the_run_and_scratch_has_none(
    pcrl, diagnosis, square
):
    weights = load_weights(pcrl)
    for target in (diagnosis, square):
        start = tuning.task_network(weights, "T1", target, seed=1)
        scratch = tuning.task_network(weights, "T1", target, 1, False)
        learned = weights.encoders["T1"]
        for name, value in start.encoder.state_dict().items():
            assert torch.equal(value, learned[name])
        convolution = "levels.0.0.weight"
        fresh = scratch.encoder.state_dict()[convolution]
        assert not torch.equal(fresh, learned[convolution])
        assert tuning.goes_on(start, weights, "T1") == target.voxelwise
    # the decoder too, but for its last layer, which is of other classes
    decoder = weights.decoders["T1"]
    for name, value in start.head.state_dict().items():
        if name.startswith("output."):
            assert len(value) == 2
        else:
            assert torch.equal(value, decoder[name])


def test_a_decoder_of_another_kind_stays_behind(cohort, square, tmp_path):
    run = fit(
        cohort,
        "AE",
        tmp_path / "AE",
        epochs=1,
        batch_size=16,
        width=2,
        backbone="mmssl.models.unet:UNetEncoder",
        progress=False,
    )
    weights = load_weights(run)
    network = tuning.task_network(weights, "T1", square)
    assert not tuning.goes_on(network, weights, "T1")


def test_a_u_net_of_residual_layers_goes_on_with_its_decoder(
    cohort, inputs, people, square, tmp_path
):
    run = fit(
        cohort,
        "PCRL",
        tmp_path / "PCRL",
        epochs=1,
        batch_size=16,
        width=4,
        backbone="mmssl.models.resnet:ResNetUNetEncoder",
        precision="fp32",
        progress=False,
    )
    weights = load_weights(run)
    network = tuning.task_network(weights, "T1", square)
    assert tuning.goes_on(network, weights, "T1")
    images = torch.from_numpy(inputs[:3].astype(np.float32))
    features = network.encoder(images)
    logits = network.head(features.local, features.maps)
    assert logits.shape == (3, 2, 32, 32)
    before = state(network)
    tuning.finetune(network, inputs, square, people, SHORT, seed=3)
    after = state(network)
    for part, _ in network.named_parameters():
        if part.endswith("weight"):
            assert not torch.equal(before[part], after[part]), part
    found = tuning.predict(network, inputs, people.test)
    assert found.shape == (len(people.test), 32, 32)


def test_an_encoder_without_maps_segments_nothing(run, square, diagnosis):
    weights = load_weights(run)
    with pytest.raises(ValueError, match="no decoder reads its maps"):
        tuning.task_network(weights, "T1", square)
    network = tuning.task_network(weights, "T1", diagnosis)
    assert not network.voxelwise
    with pytest.raises(ValueError, match="'FLAIR': the run encodes"):
        tuning.task_network(weights, "FLAIR", diagnosis)


@pytest.mark.parametrize("name", ["diagnosis", "square"])
def test_every_weight_learns_and_the_same_seed_gives_the_same_bits(
    pcrl, inputs, people, name, request
):
    target = request.getfixturevalue(name)
    weights = load_weights(pcrl)
    outputs = []
    for _ in range(2):
        network = tuning.task_network(weights, "T1", target)
        before = state(network)
        tuning.finetune(network, inputs, target, people, SHORT, seed=3)
        after = state(network)
        assert not network.training
        # a convolution before a batch norm has no use for its bias
        for part, _ in network.named_parameters():
            if part.endswith("weight"):
                assert not torch.equal(before[part], after[part]), part
        outputs.append(tuning.predict(network, inputs, people.test))
    assert np.array_equal(*outputs)
    shape = (32, 32) if target.voxelwise else (2,)
    assert outputs[0].shape == (len(people.test), *shape)


def test_the_weights_kept_are_the_best_on_validation_people(
    pcrl, inputs, people, square
):
    weights = load_weights(pcrl)
    losses = []
    for steps in (2, 4, 6):
        schedule = Schedule(steps, 6, 3e-3, validations=steps // 2)
        network = tuning.task_network(weights, "T1", square)
        tuning.finetune(network, inputs, square, people, schedule, seed=3)
        images = torch.from_numpy(inputs[people.valid])
        there = torch.from_numpy(square.values[people.valid]).long()
        with torch.no_grad():
            losses.append(float(dice_loss(network(images), there)))
    # more steps of the same fit can only find a better one
    assert losses == sorted(losses, reverse=True)


def test_a_worse_end_is_not_kept(pcrl, inputs, people, square, monkeypatch):
    """Of a training whose labels are the wrong way round from a third on."""
    augmented = tuning._FineTuning._augmented

    def misled(module, images, values, stream):
        images, values = augmented(module, images, values, stream)
        if stream.step >= 8:
            values[0] = 1 - values[0]
        return images, values

    monkeypatch.setattr(tuning._FineTuning, "_augmented", misled)
    schedule = Schedule(24, 6, 0.03, validations=12)
    network = tuning.task_network(load_weights(pcrl), "T1", square)
    curve = tuning.finetune(
        network, inputs, square, people, schedule, seed=3, precision="fp32"
    )
    best = curve[:, 1].min()
    assert curve[-1, 1] > best + 1e-3
    images = torch.from_numpy(inputs[people.valid])
    there = torch.from_numpy(square.values[people.valid]).long()
    with torch.no_grad():
        loss = float(dice_loss(network(images), there))
    assert loss == pytest.approx(best, abs=1e-5)


def test_each_step_has_views_and_each_epoch_an_order_of_its_own(
    pcrl, inputs, people, diagnosis, monkeypatch
):
    steps, epochs = [], []
    augmented = tuning._FineTuning._augmented
    drawn = tuning.Draw.epoch

    def watched(module, images, values, stream):
        steps.append(stream.step)
        return augmented(module, images, values, stream)

    def watched_draw(draw, epoch, modality=0):
        epochs.append(epoch)
        return drawn(draw, epoch, modality)

    monkeypatch.setattr(tuning._FineTuning, "_augmented", watched)
    monkeypatch.setattr(tuning.Draw, "epoch", watched_draw)
    network = tuning.task_network(load_weights(pcrl), "T1", diagnosis)
    size = len(people.train) // 2
    schedule = Schedule(6, size, 3e-3, validations=1)
    tuning.finetune(network, inputs, diagnosis, people, schedule)
    assert steps == [0, 1, 2, 3, 4, 5]
    assert epochs == [0, 0, 1, 1, 2, 2]


def test_steps_are_as_long_as_the_rate_says(pcrl, inputs, people, diagnosis):
    """The first step of Adam is the rate itself, for each weight."""
    weights = load_weights(pcrl)
    for rate in (1e-5, 1e-2):
        network = tuning.task_network(weights, "T1", diagnosis)
        before = network.head.weight.detach().clone()
        schedule = Schedule(1, 6, rate, validations=1)
        tuning.finetune(
            network, inputs, diagnosis, people, schedule, precision="fp32"
        )
        moved = (network.head.weight.detach() - before).abs()
        assert float(moved.median()) == pytest.approx(rate, rel=0.05)


def test_who_is_tested_has_no_part_in_the_fit(pcrl, inputs, people, diagnosis):
    weights = load_weights(pcrl)
    fits = []
    for others in (inputs, inputs.copy()):
        if fits:
            others[people.test] = np.nan
        network = tuning.task_network(weights, "T1", diagnosis)
        tuning.finetune(network, others, diagnosis, people, SHORT)
        fits.append(state(network))
    assert all(torch.equal(fits[0][k], fits[1][k]) for k in fits[0])


def test_labels_of_pixels_and_slices_move_with_the_image(
    pcrl, people, square, monkeypatch
):
    """An image that is its own classes stays so in every view; what comes in
    from outside is background, and of slices not known.
    """
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 2, (len(square.values), 32))
    slices = Target("slices", columns, ("none", "some"))
    images = np.concatenate(
        [
            square.values[:, None],
            np.broadcast_to(
                1 + columns[:, None, None],
                (*square.values.shape[:1], 1, 32, 32),
            ),
        ],
        1,
    )
    seen = []
    augmented = tuning._FineTuning._augmented

    def watched(module, images, values, stream):
        made = augmented(module, images, values, stream)
        seen.append((images, *made))
        return made[0][:, :1], made[1]

    monkeypatch.setattr(tuning._FineTuning, "_augmented", watched)
    network = tuning.task_network(
        load_weights(pcrl), "T1", square, auxiliary=[slices]
    )
    monkeypatch.setattr(tuning._FineTuning, "validation_step", lambda *_: None)
    monkeypatch.setattr(
        tuning._FineTuning, "on_validation_epoch_end", lambda *_: None
    )
    tuning.finetune(
        network,
        images.astype(np.float32),
        square,
        people,
        SHORT,
        precision="fp32",
        auxiliary=[slices],
    )
    unknown = 0
    for before, view, (pixels, of_slices) in seen:
        assert not torch.equal(before, view)
        assert torch.equal(view[:, 0], pixels.float())
        # 0 where the view shows what is outside the image
        expected = view[:, 1].amax(1) - 1
        assert torch.equal(of_slices.float(), expected)
        unknown += int((of_slices == tuning.UNKNOWN).sum())
    assert unknown > 0


def test_other_labels_are_learned_beside_the_target(
    pcrl, inputs, people, diagnosis
):
    """Each by a head of its own; unknown ones take no part, and the target
    begins as without them.
    """
    rng = np.random.default_rng(0)
    kinds = Target("kind", rng.integers(-1, 3, len(inputs)), ("a", "b", "c"))
    of_slices = rng.integers(-1, 2, (len(inputs), 32))
    slices = Target("slices", of_slices, ("none", "some"))
    weights = load_weights(pcrl)
    alone = tuning.task_network(weights, "T1", diagnosis, seed=1)
    others = [kinds, slices]
    network = tuning.task_network(
        weights, "T1", diagnosis, seed=1, auxiliary=others
    )
    assert torch.equal(alone.head.weight, network.head.weight)
    before = state(network)
    curve = tuning.finetune(
        network, inputs, diagnosis, people, SHORT, auxiliary=others
    )
    assert curve.shape == (2, 3)
    after = state(network)
    for name in ("auxiliary.0.weight", "auxiliary.1.weight"):
        assert not torch.equal(before[name], after[name])
    assert after["auxiliary.0.weight"].shape[0] == 3
    assert after["auxiliary.1.weight"].shape[0] == 64


def test_the_entropy_of_known_labels_is_the_loop():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2 * 4, generator=draw)
    labels = torch.tensor([[0, 1, -1, 1], [-1, -1, 0, 0], [1, 1, 1, -1]])
    total, count = 0.0, 0
    for row in range(3):
        for place in range(4):
            if labels[row, place] < 0:
                continue
            of_place = logits[row].view(2, 4)[:, place].log_softmax(0)
            total -= float(of_place[labels[row, place]])
            count += 1
    found = tuning._known_entropy(logits, labels)
    assert float(found) == pytest.approx(total / count, rel=1e-5)
    nothing = tuning._known_entropy(logits, torch.full((3, 4), -1))
    assert float(nothing) == 0
    one = tuning._known_entropy(logits[:, :2], torch.tensor([1, -1, 0]))
    first, last = logits[0, :2].log_softmax(0), logits[2, :2].log_softmax(0)
    assert float(one) == pytest.approx(-float(first[1] + last[0]) / 2)


def test_the_curve_is_loss_and_auc_of_validation_people(
    pcrl, inputs, people, diagnosis, square
):
    weights = load_weights(pcrl)
    network = tuning.task_network(weights, "T1", diagnosis)
    curve = tuning.finetune(
        network, inputs, diagnosis, people, SHORT, precision="fp32"
    )
    assert curve[:, 0].tolist() == [3, 6]
    # the weights kept are those of the lowest loss
    logits = tuning.predict(network, inputs, people.valid)
    labels = diagnosis.values[people.valid]
    p = torch.from_numpy(logits).softmax(1).numpy()
    loss = -np.log(p[np.arange(len(labels)), labels]).mean()
    best = curve[curve[:, 1].argmin()]
    assert best[1] == pytest.approx(loss, rel=1e-4)
    assert best[2] == pytest.approx(roc_auc_score(labels, p[:, 1]))
    network = tuning.task_network(weights, "T1", square)
    curve = tuning.finetune(network, inputs, square, people, SHORT)
    assert np.isnan(curve[:, 2]).all() and (curve[:, 1] > 0).all()
    one = diagnosis._replace(values=diagnosis.values.copy())
    one.values[people.valid] = 1
    network = tuning.task_network(weights, "T1", one)
    curve = tuning.finetune(network, inputs, one, people, SHORT)
    assert np.isnan(curve[:, 2]).all()


def test_slices_alone_and_voxels_beside_are_refused(pcrl, diagnosis, square):
    weights = load_weights(pcrl)
    slices = Target("slices", np.zeros((len(square.values), 32)), ("a", "b"))
    with pytest.raises(ValueError, match="slices: a class of each slice"):
        tuning.task_network(weights, "T1", slices)
    with pytest.raises(ValueError, match="square: a class of each voxel"):
        tuning.task_network(weights, "T1", diagnosis, auxiliary=[square])


def test_smaller_shares_lie_within_larger_ones_and_keep_the_classes():
    labels = np.array([0] * 60 + [1] * 20 + [0] * 10)
    rows = np.arange(5, 90)
    subsets = [
        tuning.labelled_subset(rows, labels, ratio, seed=2)
        for ratio in (0.01, 0.1, 0.5, 1.0)
    ]
    for small, large in zip(subsets, subsets[1:], strict=False):
        assert set(small) < set(large)
    assert np.array_equal(subsets[-1], rows)
    assert np.bincount(labels[subsets[0]]).tolist() == [1, 1]
    assert np.bincount(labels[subsets[2]]).tolist() == [32, 10]
    other = tuning.labelled_subset(rows, labels, 0.1, seed=3)
    assert not np.array_equal(other, subsets[1])
    usual = tuning.labelled_subset(rows, labels, 0.1)
    first, second = (
        tuning.labelled_subset(rows, labels, 0.1, seed) for seed in (0, 1)
    )
    assert np.array_equal(usual, first) and not np.array_equal(usual, second)
    for ratio in (0, 1.5):
        with pytest.raises(ValueError, match="label ratio is"):
            tuning.labelled_subset(rows, labels, ratio)


def test_too_few_people_unknown_labels_and_missing_classes_are_refused(
    pcrl, inputs, people, diagnosis, square
):
    network = tuning.task_network(load_weights(pcrl), "T1", diagnosis)
    few = people._replace(train=people.train[:1])
    with pytest.raises(ValueError, match="1 people to train, expected 2"):
        tuning.finetune(network, inputs, diagnosis, few)
    nobody = people._replace(valid=people.valid[:0])
    with pytest.raises(ValueError, match="0 people to valid, expected 1"):
        tuning.finetune(network, inputs, diagnosis, nobody)
    values = diagnosis.values.copy()
    values[people.valid[0]] = -1
    unknown = diagnosis._replace(values=values)
    with pytest.raises(ValueError, match="somebody to valid has no label"):
        tuning.finetune(network, inputs, unknown, people)
    empty = square._replace(values=0 * square.values)
    network = tuning.task_network(load_weights(pcrl), "T1", square)
    with pytest.raises(ValueError, match="to learn from shows square"):
        tuning.finetune(network, inputs, empty, people)
