"""Encoders made again from a record: each of the package's, and nothing that
a record alone names.
"""

import pytest
import torch
from own_backbone import Pooled

from mmssl.models import exported
from mmssl.models.dcgan import Encoder

SHAPES = {
    "Encoder": {"size": 16, "dims": 3, "latent": 5, "dropout": 0.25},
    "DenseNetEncoder": {"size": 16, "dims": 3, "latent": 2},
    "ResNetEncoder": {"size": 32, "dims": 2},
    "ResNetUNetEncoder": {"size": 32, "dims": 2},
    "UNetEncoder": {"size": 16, "dims": 3},
}


def test_all_encoders_are_tried():
    assert set(SHAPES) == set(exported.ENCODERS)


@pytest.mark.parametrize("name", SHAPES)
def test_an_encoder_is_made_again(name):
    arguments = {"in_channels": 2, "width": 4, **SHAPES[name]}
    original = exported.ENCODERS[name](**arguments).train()
    x = torch.randn(3, *original.input_shape)
    original(x)  # batch norm has seen something
    original.eval()
    assert exported.recorded_name(type(original)) == name
    made = exported.encoder_class(name)
    weights = original.state_dict()
    again = exported.rebuilt_encoder(made, arguments, weights)
    assert type(again) is type(original) and not again.training
    with torch.no_grad():
        assert torch.equal(again(x).z, original(x).z)


def test_a_name_alone_imports_nothing():
    name = exported.recorded_name(Pooled)
    assert name == "own_backbone:Pooled"
    with pytest.raises(exported.RecordError, match="hand a class of your own"):
        exported.encoder_class(name)
    assert exported.encoder_class(name, Pooled) is Pooled
    # a class may live elsewhere than when it was trained
    assert exported.encoder_class("__main__:Pooled", Pooled) is Pooled
    for other in ("__main__:Other", "Encoder", None):
        with pytest.raises(
            exported.RecordError, match="class is .*, expected"
        ):
            exported.encoder_class(other, Pooled)
    assert exported.encoder_class("Encoder", Encoder) is Encoder


def test_a_users_class_that_borrows_a_name_is_not_the_packages():
    borrowed = type("Encoder", (Encoder,), {"__module__": "mine"})
    assert exported.recorded_name(borrowed) == "mine:Encoder"
    with pytest.raises(
        exported.RecordError, match="'Encoder', expected 'mine"
    ):
        exported.encoder_class("Encoder", borrowed)


def test_a_network_takes_no_memory_before_its_weights_are_there():
    arguments = {"in_channels": 1, "width": 2**14, "size": 64, "dims": 3}
    expected = exported.expected_weights(Encoder, arguments)
    numbers = sum(value.numel() for value in expected.values())
    assert numbers > 2**39 and all(v.is_meta for v in expected.values())
    with pytest.raises(exported.RecordError, match="expected what Encoder"):
        largest = {"width": 2**16, "size": 2**16}
        exported.expected_weights(Encoder, arguments | largest)
