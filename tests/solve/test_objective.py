"""Objectives: one value per image, images never mix, operands stay as they were."""

import pytest
import torch

from texton import Network, TextonError
from texton.network.codes import isolate
from texton.network.device import Compute
from texton.solve.objective import CodeMatch, FeatureMapMatch
from texton.solve.priors import AlphaNorm, TotalVariation, add_variation


def test_feature_map_match_is_code_match_with_the_isolated_target() -> None:
    photo = torch.rand(1, 5, 4, 3)
    code = torch.rand(2, 5, 4, 3, requires_grad=True)
    image = torch.rand(2, 3, 8, 6)
    quick = FeatureMapMatch("x", [1, 3], photo.sum(1))
    value = quick({"x": code}, image)
    (slope,) = torch.autograd.grad(value.sum(), code)
    for b, channel in enumerate([1, 3]):
        plain = CodeMatch("x", isolate(photo, channel))
        one = code.detach()[b : b + 1].requires_grad_(True)
        expected = plain({"x": one}, image)
        torch.testing.assert_close(value[b], expected[0])
        torch.testing.assert_close(slope[b], torch.autograd.grad(expected.sum(), one)[0][0])


def test_images_of_a_batch_do_not_mix() -> None:
    image = torch.rand(3, 3, 8, 8, requires_grad=True)
    total = 2 * TotalVariation() + AlphaNorm(torch.full((1, 3, 1, 1), 0.4))
    value = total({}, image)
    assert value.shape == (3,)
    (slope,) = torch.autograd.grad(value[1], image)
    assert slope[0].abs().sum() == 0 and slope[2].abs().sum() == 0 and slope[1].abs().sum() > 0


def test_operators_leave_their_operands_alone() -> None:
    image = torch.rand(1, 3, 8, 8)
    term = TotalVariation()
    before = term({}, image)
    both = 3 * term + term * 2
    torch.testing.assert_close(both({}, image), 5 * before)
    torch.testing.assert_close(term({}, image), before)


def test_total_variation_of_a_ramp() -> None:
    ramp = torch.linspace(0, 1, 11).expand(1, 3, 11, 11)
    torch.testing.assert_close(TotalVariation()({}, ramp), torch.tensor([0.01 * 10 / 11]))


def test_total_variations_slope_is_that_of_its_value() -> None:
    image = torch.rand(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: TotalVariation()({}, x), image)
    (slope,) = torch.autograd.grad(TotalVariation()({}, image).sum(), image)
    for weights in (torch.tensor([0.5, 0.5]), torch.tensor([0.5, 2.0])):
        gradient = torch.ones_like(image)
        add_variation(gradient, image.detach(), weights)
        wanted = 1 + slope * weights.reshape(2, 1, 1, 1)
        torch.testing.assert_close(gradient, wanted)


def test_a_silent_target_is_refused() -> None:
    with pytest.raises(TextonError, match="activates nothing"):
        FeatureMapMatch("x", [0], torch.zeros(1, 4, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", ["relu1_1", "conv1_2", "pool1"])
def test_seeds_change_a_gradients_size_alone(net: Network, layer: str, dtype: torch.dtype) -> None:
    """Also where the code's own rectifier leaves the slope alone, and within sums."""
    encode = net.encoder(layer, Compute(torch.device("cpu"), dtype))
    image = torch.rand(2, 3, 32, 32, requires_grad=True)
    total = encode(image.detach())[layer].float().sum(1)[:1]
    error = FeatureMapMatch(layer, [3, 1], total)
    assert (0.5 * error).seeds is None and (error + error).seeds is None
    gradients = []
    for objective, seeds in ((error, error.seeds), (error, torch.ones(2)), (2 * error, None)):
        seeds = torch.full((2,), 0.5) if seeds is None else seeds
        (gradient,) = torch.autograd.grad(objective(encode(image), image), image, seeds)
        gradients.append(gradient / seeds.reshape(-1, 1, 1, 1))
    gradients[2] /= 2
    largest, near = float(gradients[0].abs().max()), 1e-5 if dtype == torch.float32 else 0.02
    assert largest > 0
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=near, atol=near * largest)
