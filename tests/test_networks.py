from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_zsdeconvnet.errors import InputError
from napari_zsdeconvnet.networks import NETWORKS, PublishedNetwork, build_network, softened_relu
from napari_zsdeconvnet.presets import PRESETS

every_network = pytest.mark.parametrize("name", list(NETWORKS))


def seeded(name: str, seed: int = 0):
    torch.manual_seed(seed)
    return build_network(name)


def stirred(name: str):
    """A network none of whose weights is zero, as training leaves it."""
    network = seeded(name)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return network.eval()


def multiplications(network: nn.Module, image: torch.Tensor) -> int:
    """Count the multiplications of all convolutions."""
    total = 0

    def count(layer: nn.Conv2d, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.inference_mode():
        network(image)
    for hook in hooks:
        hook.remove()
    return total


class TestPublishedNetwork:
    def test_has_the_published_number_of_parameters(self):
        network = PublishedNetwork()
        assert sum(weight.numel() for weight in network.parameters()) == 13_109_010

    def test_costs_what_was_published_for_one_patch(self):
        # Counted in a hundredth of the 160 x 160 pixels, as nothing but the area matters.
        network = PublishedNetwork()
        whole = 100 * multiplications(network, torch.rand(1, 1, 16, 16))
        head = 100 * multiplications(network.head, torch.rand(1, 16, 32, 32))
        assert whole == pytest.approx(27e9, rel=0.02)
        assert head / whole == pytest.approx(0.63, abs=0.01)


@every_network
class TestContract:
    def test_gives_both_images_on_their_grids(self, name: str):
        network = seeded(name)
        height, width = 2 * network.multiple, 3 * network.multiple
        height, width = max(height, 16), max(width, 16)
        with torch.inference_mode():
            denoised, deconvolved = network(torch.rand(2, 1, height, width))
        assert denoised.shape == (2, 1, height, width)
        assert deconvolved.shape == (2, 1, 2 * height, 2 * width)
        assert network.upsampling == 2

    def test_the_seed_decides_the_weights(self, name: str):
        one, other, same = seeded(name, 1), seeded(name, 2), seeded(name, 1)
        weights = [torch.nn.utils.parameters_to_vector(n.parameters()) for n in (one, other, same)]
        assert not torch.equal(weights[0], weights[1])
        assert torch.equal(weights[0], weights[2])

    @pytest.mark.parametrize("axis", [2, 3])
    def test_no_pixel_reaches_beyond_the_receptive_field(self, name: str, axis: int):
        # NaN spreads through every product, sum and maximum that it takes part in, so it marks
        # all that depends on a pixel. Pooling makes that depend on where the pixel lies.
        network = stirred(name)
        reach, multiple = network.receptive_field, network.multiple
        length = multiple * -(-(2 * reach + 2 * multiple) // multiple)
        middle = multiple * (length // 2 // multiple)
        shape = [multiple, multiple]
        shape[axis - 2] = length
        for position in (middle, middle + multiple - 1):
            image = torch.rand(1, 1, max(shape[0], 8), max(shape[1], 8))
            image.select(axis, position).fill_(torch.nan)
            with torch.inference_mode():
                denoised, deconvolved = network(image)
            across = tuple(index for index in range(4) if index != axis)
            for output, factor in ((denoised, 1), (deconvolved, 2)):
                touched = output.isnan().amax(dim=across).nonzero().flatten()
                distance = (touched // factor - position).abs()
                assert int(distance.max()) <= reach
                assert len(touched) > 0
        # Nor is it claimed far too large, which would make tiles slow: the second stage's
        # output reaches farthest.
        assert int(distance.max()) > reach - 2 * multiple - 8

    def test_outputs_are_alive_at_the_start_whatever_the_seed(self, name: str):
        # A plain ReLU at the end is dead in about one seed of seven.
        torch.manual_seed(0)
        image = torch.rand(1, 1, 16, 16)
        for seed in range(20):
            network = seeded(name, seed)
            for output in network(image):
                assert float(output.std()) > 0, seed
                gradients = torch.autograd.grad(
                    output.square().mean(),
                    list(network.parameters()),
                    retain_graph=True,
                    allow_unused=True,
                )
                assert any(g is not None and float(g.abs().max()) > 0 for g in gradients), seed


def test_softened_relu_is_a_relu_whose_gradient_never_vanishes():
    values = torch.tensor([-1.0, 0.0, 1.0, 5.0], requires_grad=True)
    softened = softened_relu(values, 20.0)
    assert float((softened - torch.relu(values)).abs().max()) < 0.04
    softened.sum().backward()
    assert bool((values.grad > 0).all())


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="'transformer' is unknown"):
        build_network("transformer")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_presets_fit_their_networks(preset):
    network = NETWORKS[preset.network]
    assert preset.patch % network.multiple == 0
    assert preset.patch > 2 * preset.margin


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_learning_rates_stay_positive_and_end_below_their_peak(preset):
    rates = [preset.learning_rate_at(step, 1000) for step in range(1, 1001)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(preset.learning_rate, rel=0.01)
    assert rates[-1] < 0.1 * preset.learning_rate


def test_the_published_rate_halves_every_fifth_of_a_run():
    paper = PRESETS["paper"]
    assert paper.steps == 50_000
    rates = [paper.learning_rate_at(step, 50_000) for step in (1, 10_000, 10_001, 20_001, 50_000)]
    assert rates == pytest.approx([5e-5, 5e-5, 2.5e-5, 1.25e-5, 5e-5 / 16])
