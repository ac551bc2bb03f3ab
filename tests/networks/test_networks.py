from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.networks.base import PublishedNetwork, TwoStageNetwork, softened_relu
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.utils.errors import InputError

SPOT = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.0313, size=31)

IMAGES = ["published", "unrolled"]

every_network = pytest.mark.parametrize("name", IMAGES)


def seeded(name: str, seed: int = 0) -> TwoStageNetwork:
    torch.manual_seed(seed)
    return build_network(name, SPOT)


def stirred(name: str) -> TwoStageNetwork:
    """A network whose weights let the signal pass undiminished, and none of which is zero."""
    network = seeded(name)
    for weight in network.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        else:
            nn.init.normal_(weight, std=0.01)
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


def strip(network: TwoStageNetwork, axis: int) -> tuple[int, list[int]]:
    """A narrow image, long enough for the receptive field, and a pixel in its middle."""
    multiple = network.multiple
    half = -(-(network.receptive_field + 2 * multiple) // multiple)
    shape = [max(multiple, 16)] * 2
    shape[axis - 2] = 2 * half * multiple
    return half * multiple, shape


def across(axis: int) -> tuple[int, ...]:
    return tuple(index for index in range(4) if index != axis)


def beyond(network: TwoStageNetwork, values: torch.Tensor, position: int) -> torch.Tensor:
    """Mark what lies farther from the position than the receptive field, on either grid."""
    factor = 2 if len(values) > 2 * (position + network.multiple) + 1 else 1
    return (torch.arange(len(values)) // factor - position).abs() > network.receptive_field


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

    @pytest.mark.parametrize("axis", [2, 3])
    def test_nothing_at_all_passes_beyond_the_receptive_field(self, axis: int):
        # NaN spreads through every product, sum and maximum that it takes part in, so it marks
        # all that depends on a pixel.
        network = stirred("published")
        middle, shape = strip(network, axis)
        for position in (middle, middle + network.multiple - 1):
            image = torch.rand(1, 1, *shape)
            image.select(axis, position).fill_(torch.nan)
            with torch.inference_mode():
                for output in network(image):
                    touched = output.isnan().amax(dim=across(axis))
                    assert bool(touched.any())
                    assert not bool(touched[beyond(network, touched, position)].any())


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
    def test_a_bright_point_changes_nothing_beyond_the_receptive_field(self, name, axis: int):
        # Pooling makes the reach depend on where the point lies.
        network = stirred(name)
        middle, shape = strip(network, axis)
        torch.manual_seed(1)
        without = 0.05 + 0.1 * torch.rand(1, 1, *shape)
        with torch.inference_mode():
            expected = network(without)
            for position in (middle, middle + network.multiple - 1):
                image = without.clone()
                image.select(axis, position).add_(3)
                for output, before in zip(network(image), expected, strict=True):
                    change = (output - before).abs().amax(dim=across(axis))
                    assert float(change.max()) > 0.01
                    assert float(change[beyond(network, change, position)].max()) < 1e-4

    def test_outputs_are_alive_at_the_start_whatever_the_seed(self, name: str):
        # A plain ReLU at the end is dead in about one seed of seven.
        torch.manual_seed(0)
        image = torch.rand(1, 1, 16, 16)
        for seed in range(20):
            network = seeded(name, seed)
            for output in network(image):
                assert float(output.detach().std()) > 0, seed
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
    assert float((softened - torch.relu(values)).detach().abs().max()) < 0.04
    softened.sum().backward()
    assert bool((values.grad > 0).all())


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="'transformer' is unknown"):
        build_network("transformer", SPOT)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_presets_fit_their_networks(preset):
    network = build_network(preset.network, SPOT)
    assert preset.patch % network.multiple == 0
    assert preset.patch > 2 * preset.margin


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_learning_rates_stay_positive_and_end_below_their_peak(preset):
    rates = [preset.learning_rate_at(step, 1000) for step in range(1, 1001)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(preset.learning_rate, rel=0.01)
    if preset.schedule != "steady":
        assert rates[-1] < 0.1 * preset.learning_rate


def test_the_published_rate_halves_every_fifth_of_a_run():
    paper = PRESETS["paper"]
    assert paper.steps == 50_000
    rates = [paper.learning_rate_at(step, 50_000) for step in (1, 10_000, 10_001, 20_001, 50_000)]
    assert rates == pytest.approx([5e-5, 5e-5, 2.5e-5, 1.25e-5, 5e-5 / 16])
