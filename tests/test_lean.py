"""Lean modules give the gradients of torch's own, and keep less."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from texton import lean
from texton.allocator import settle_allocator
from texton.lean import make_lean

MODULES: dict[str, Callable[[], nn.Module]] = {
    "chain": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 4, 3), nn.ReLU()
    ),
    "strides": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2, padding=(1, 2), dilation=2, groups=3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    ),
    "others": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.ReLU6(),
        nn.AvgPool2d((3, 2), (2, 1), divisor_override=4),
    ),
}


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_lean_modules_give_the_same(
    kind: str, dtype: torch.dtype, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "LARGE", 1)
    torch.manual_seed(0)
    usual = MODULES[kind]().requires_grad_(False).to(dtype).to(memory_format=layout)
    slim = copy.deepcopy(usual)
    make_lean(slim)
    image = torch.randn(2, 3, 21, 18).to(dtype).contiguous(memory_format=layout)
    gradients, codes = [], []
    for module in (usual, slim):
        x = image.clone().requires_grad_(True)
        codes.append(module(x))
        slope = torch.linspace(-1, 1, codes[-1].numel()).reshape(codes[-1].shape).to(dtype)
        gradients += torch.autograd.grad(codes[-1], x, slope)
    torch.testing.assert_close(codes[1], codes[0], rtol=0, atol=0)
    torch.testing.assert_close(gradients[1], gradients[0])


def test_lean_modules_keep_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "LARGE", 1)
    usual = MODULES["chain"]().requires_grad_(False)
    slim = copy.deepcopy(usual)
    make_lean(slim)
    kept = []
    for module in (usual, slim):
        seen: dict[int, int] = {}

        def note(x: torch.Tensor, seen: dict[int, int] = seen) -> torch.Tensor:
            seen[x.data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            module(torch.randn(1, 3, 64, 64, requires_grad=True))
        kept.append(sum(seen.values()))
    assert kept[1] < 0.3 * kept[0], "masks are a byte an element, codes four"


def test_subclasses_stay_as_they_are() -> None:
    class Own(nn.Conv2d):
        pass

    module = nn.Sequential(Own(3, 3, 1), nn.ReLU())
    make_lean(module)
    assert type(module[0]) is Own and isinstance(module[1], nn.ReLU)


def test_the_allocator_is_settled_for_any_size() -> None:
    for pixels in (64 * 64, 2000 * 2000, 64 * 64):
        settle_allocator(pixels)
        assert torch.ones(3_000_000).sum() == 3_000_000
