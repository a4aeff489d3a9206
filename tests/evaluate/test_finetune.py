"""Fine-tuning: whole networks learn, the best on validation people is kept,
and who is tested is not looked at.
"""

import numpy as np
import pytest
import torch

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


def test_image_and_classes_get_the_same_shift_and_flips(
    pcrl, people, inputs, square, monkeypatch
):
    """An image that is its own classes stays so in every view."""
    images = square.values[:, None].astype(np.float32)
    seen = []

    def loss(module, views, values):
        seen.append((views[:, 0].clone(), values.clone()))
        return module.network(views).mean()

    monkeypatch.setattr(tuning._FineTuning, "_loss", loss)
    network = tuning.task_network(load_weights(pcrl), "T1", square)
    tuning.finetune(network, images, square, people, SHORT, precision="fp32")
    assert any(not torch.equal(v[0], v[1]) for v, _ in seen)
    for views, values in seen:
        assert torch.equal(views, values.float())


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
