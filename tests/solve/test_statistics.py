"""What statistics of a code tell, and what they are blind to."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from texton.network.codes import gram
from texton.solve.priors import TotalVariation
from texton.solve.scales import resized_tile
from texton.solve.statistics import inside, random_directions, shifted_gram, sorted_along


def test_shifted_gram_is_the_product_of_what_lies_apart() -> None:
    code = torch.rand(2, 3, 6, 7)
    found = shifted_gram(code, [2])
    assert found.shape == (2, 3, 3, 3)
    torch.testing.assert_close(found[:, 0], gram(code))
    down = (code[:, 0, :-2] * code[:, 1, 2:]).mean((1, 2))
    across = (code[:, 0, :, :-2] * code[:, 1, :, 2:]).mean((1, 2))
    torch.testing.assert_close(found[:, 1, 0, 1], down)
    torch.testing.assert_close(found[:, 2, 0, 1], across)
    round_ = shifted_gram(code, [2], wraps=True)[:, 2, 0, 1]
    torch.testing.assert_close(round_, (code[:, 0] * code[:, 1].roll(-2, 2)).mean((1, 2)))


def test_shifted_gram_tells_stripes_from_the_same_stripes_in_disorder() -> None:
    stripes = torch.zeros(1, 1, 8, 16)
    stripes[..., ::2] = 1
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    mixed = stripes[..., order]
    assert torch.equal(gram(stripes), gram(mixed))
    apart = shifted_gram(stripes, [1, 2], True) - shifted_gram(mixed, [1, 2], True)
    assert apart.abs().max() > 0.2


@given(st.integers(1, 5), st.integers(0, 1000))
def test_sorted_activations_forget_places_and_nothing_else(channels: int, seed: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    directions = random_directions(channels, 8, drawn)
    assert directions.shape == (channels, channels)
    torch.testing.assert_close(directions @ directions.T, torch.eye(channels), atol=1e-5, rtol=0)
    code = torch.rand(1, channels, 16, 16, generator=drawn)
    order = torch.randperm(256, generator=drawn)
    mixed = code.flatten(2)[..., order].reshape(code.shape)
    own = sorted_along(code, directions)
    torch.testing.assert_close(own, sorted_along(mixed, directions))
    twice = torch.cat([code, code], 3)  # of another size
    torch.testing.assert_close(own, sorted_along(twice, directions), atol=1e-5, rtol=0)
    spread = sorted_along((code - 0.5) * 2 + 0.5, directions)
    assert (own - spread).abs().max() > 0.05, "a wider distribution of the same mean is another"


def test_one_position_and_one_channel_have_statistics() -> None:
    code = torch.tensor([[[[2.0]]]])
    assert shifted_gram(code, []).tolist() == [[[[4.0]]]]
    directions = torch.ones(1, 1)
    assert sorted_along(code, directions).unique().tolist() == [2.0]
    assert inside(code, 3).shape == code.shape


def test_inside_is_without_edges() -> None:
    code = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert torch.equal(inside(code, 1), code[..., 1:-1, 1:-1])
    assert inside(code, 100).shape == (1, 1, 4, 4)


def test_a_tile_is_resized_and_smoothed_round_its_edges() -> None:
    x = torch.arange(16) / 16 * 2 * torch.pi
    tile = 0.5 + 0.3 * torch.cos(x + 0.7).expand(1, 1, 16, 16)
    larger = resized_tile(tile, (32, 32))
    there = (torch.arange(32) - 0.5) / 32 * 2 * torch.pi
    wanted = (0.5 + 0.3 * torch.cos(there + 0.7)).expand(1, 1, 32, 32)
    torch.testing.assert_close(larger, wanted, atol=0.01, rtol=0)
    ramp = torch.linspace(0, 1, 8).expand(1, 3, 8, 8)
    inner, round_ = (TotalVariation(wraps=wraps)({}, ramp) for wraps in (False, True))
    torch.testing.assert_close(round_ - inner, torch.tensor([1 / 8]))  # the step of 1 back to 0
