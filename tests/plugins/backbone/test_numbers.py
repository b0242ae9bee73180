"""Further numbers beside the time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

every = pytest.mark.parametrize("name", ["DiT", "Flux", "MMDiT", "UNet", "UViT"])
KINDS = pytest.mark.parametrize("kind", ["none", "classes", "text"])
NUMBERS = ("end_time", "guidance_scale")


def fresh(kit, name, kind, numbers=NUMBERS):
    torch.manual_seed(0)
    return kit.small(name).build(kit.latent, replace(kit.specs[kind], numbers=numbers))


def inputs(kit, kind):
    x, t, condition = kit.inputs(kind)
    numbers = {"end_time": torch.tensor([0.1, 0.4, 1.0]), "guidance_scale": torch.tensor([1.0, 7.5, 2.0])}
    return x, t, replace(condition, numbers=numbers)


@every
@KINDS
def test_output_depends_on_each_number_of_each_sample(kit, name, kind):
    network = kit.awake(fresh(kit, name, kind))
    x, t, condition = inputs(kit, kind)
    first = network(x, t, condition)[0]
    for number, values in condition.numbers.items():
        other = replace(condition, numbers={**condition.numbers, number: values + 0.1})
        assert (network(x, t, other)[0] - first).flatten(1).abs().amax(1).min() > 1e-4


@every
@KINDS
def test_weights_of_a_network_without_numbers_are_the_same_beside_them(kit, name, kind):
    plain, told = (fresh(kit, name, kind, numbers).state_dict() for numbers in ((), NUMBERS))
    assert plain.keys() < told.keys()
    assert all(key.startswith(("numbers.end_time.", "numbers.guidance_scale.")) for key in told.keys() - plain.keys())
    assert all(torch.equal(tensor, told[key]) for key, tensor in plain.items())


@every
@KINDS
def test_numbers_say_nothing_until_something_is_learned(kit, name, kind):
    network, plain = fresh(kit, name, kind), kit.awake(fresh(kit, name, kind, ()))
    network.load_state_dict(plain.state_dict(), strict=False)
    x, t, condition = inputs(kit, kind)
    output = network(x, t, condition)[0]
    assert torch.equal(output, plain(x, t, replace(condition, numbers=None))[0])
    output.square().mean().backward()
    assert all(network.get_parameter(f"numbers.{number}.mlp.2.weight").grad.abs().max() > 0 for number in NUMBERS)


def test_class_and_numbers_are_added_in_a_unet(kit):
    network = kit.awake(fresh(kit, "UNet", "classes"))
    table, vectors = network.unet.class_embedding, torch.randn(2, network.numbers_width)
    torch.testing.assert_close(table((torch.tensor([3, 1]), vectors)) - vectors, table.weight[[3, 1]])
