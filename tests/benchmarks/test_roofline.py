"""The roofline: the limit of known work, operations counted from shapes
against a closed form, and library calls that are noted and made again.
"""

import time
import types

import numpy as np
import pytest
import roofline
import torch

from mmssl.models.dcgan import Encoder


def test_the_limit_is_whichever_takes_longer():
    assert roofline.bound(100.0, 10.0, rate=10.0, copy=5.0) == 10.0
    assert roofline.bound(100.0, 500.0, rate=10.0, copy=5.0) == 100.0
    assert roofline.bound(0.0, 10.0, rate=10.0, copy=5.0) == 2.0


def test_a_line_holds_the_limit_the_seconds_and_the_fraction():
    calls = []
    work = roofline.Work(
        "sum",
        "n",
        operations=1e3,
        bytes=0.0,
        call=lambda: calls.append("whole"),
        precision="bf16",
        alone=lambda: calls.append("alone"),
        library="alone",
    )
    rates = {"copy": 1.0, "fp32": 1.0, "bf16": 1e9}
    line = roofline.row(work, rates, rounds=3)
    # a short call is made twice, and the second one counts
    assert calls == ["whole", "whole", "alone", "alone"] * 4
    assert line["bound"] == pytest.approx(1e-6)
    assert line["fraction"] == pytest.approx(1e-6 / line["seconds"])
    assert line["alone"] > 0


@pytest.mark.parametrize("size, batch", [(16, 3), (32, 2)])
def test_operations_of_an_encoder_follow_from_its_shapes(size, batch):
    encoder = Encoder(width=4, latent=5, size=size)
    x = torch.randn(batch, 1, size, size, size)

    def step():
        encoder(x).z.sum().backward()

    forward, first, inputs, side = 0, 0, 1, size
    for outputs in (4 * 2**i for i in range(len(encoder.convs))):
        side //= 2
        each = 2 * batch * outputs * side**3 * inputs * 64
        first = first or each
        forward += each
        inputs = outputs
    forward += 2 * batch * 5 * inputs * 64
    products = roofline.noted_products(step)
    # gradients of weights and inputs; the image asks for none
    assert products.operations == 3 * forward - first


def test_operations_are_the_same_without_gradients():
    encoder = Encoder(width=4, latent=5, size=16).eval()
    x = torch.randn(2, 1, 16, 16, 16)
    plain = roofline.noted_products(lambda: encoder(x))
    with torch.inference_mode():
        inferred = roofline.noted_products(lambda: encoder(x))
    assert inferred.operations == plain.operations > 0


def test_noted_products_are_made_again_with_their_shapes():
    a, b = torch.randn(5, 7), torch.randn(3, 7)
    products = roofline.noted_products(lambda: a @ b.T)
    assert products.operations == 2 * 5 * 7 * 3
    assert products.bytes == 4 * (5 * 7 + 7 * 3 + 5 * 3)
    again = roofline.noted_products(products.replay())
    assert [call[1:] for call in again.calls] == [
        call[1:] for call in products.calls
    ]


def test_bytes_of_other_calls_are_noted_but_not_of_views():
    a, b = torch.randn(5, 7), torch.randn(7, 3)

    def call():
        (a @ b).view(-1)[:9].exp()
        b.clone().add_(1)

    products = roofline.noted_products(call)
    # exp reads and writes 9, clone 21, and the sum in place what it changes
    assert products.moved == 4 * (2 * 9 + 2 * 21 + 2 * 21)


def test_numbers_that_are_spread_out_are_spread_out_again():
    wide = torch.randn(1, 4).expand(6, 4)
    other = torch.randn(4, 2)
    products = roofline.noted_products(lambda: wide @ other)
    products.replay()()
    assert products.calls[0][1][0].strides == (0, 1)


def test_calls_of_a_library_are_noted_only_inside():
    original = np.argsort
    values = np.array([[3, 1, 2]])
    again = roofline.replayed(
        lambda: np.argsort(values, axis=1), (np, "argsort")
    )
    assert np.argsort is original
    with roofline.noted((np, "argsort")) as calls:
        again()
    assert np.argsort is original
    assert calls == []  # the function itself was noted, not its name
    with pytest.raises(ZeroDivisionError), roofline.noted((np, "argsort")):
        raise ZeroDivisionError
    assert np.argsort is original


def test_calls_that_are_not_made_cannot_be_replayed():
    module = types.SimpleNamespace(made=len, other=abs)
    with pytest.raises(ValueError, match="other is not called"):
        roofline.replayed(
            lambda: module.made(()), (module, "made"), (module, "other")
        )


def test_seconds_are_those_of_each_function_and_of_the_whole():
    def call():
        np.argsort(np.arange(1000))
        np.argsort(np.arange(1000))

    original = np.argsort
    whole, spent = roofline.seconds_of(call, (np, "argsort"), (np, "lexsort"))
    assert np.argsort is original
    assert 0 < spent["argsort"] < whole
    assert spent["lexsort"] == 0


def test_seconds_in_operators_leave_python_out():
    x = torch.randn(300, 300)

    def call():
        x @ x
        time.sleep(0.05)

    whole, inside = roofline.in_operators(call)
    assert 0 < inside < whole - 0.05


def test_a_share_within_a_call_is_of_the_same_call():
    def work(**options):
        return roofline.Work("a", "b", 1, 1, lambda: None, **options)

    rates = {"fp32": 1.0, "copy": 1.0}
    seconds = iter([(4.0, 1.0), (1.0, 1.0), (2.0, 1.5)])
    line = roofline.row(work(within=lambda: next(seconds)), rates, 3)
    assert line["alone"] == 1.0 and line["fraction alone"] == 0.75
    assert line["fraction reachable"] == 0.75
    seconds = iter([(4.0, 1.0)] * 3)
    line = roofline.row(
        work(within=lambda: next(seconds), moved=2.0), rates, 3
    )
    assert line["fraction reachable"] == 0.75
    line = roofline.row(work(alone=lambda: None), rates, 3)
    assert line["alone"] > 0 and line["fraction alone"] > 0
    line = roofline.row(work(), rates, 3)
    assert line["alone"] is None and line["fraction alone"] is None
