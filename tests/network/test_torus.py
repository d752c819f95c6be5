"""A network whose paddings wrap: codes that go round with the image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from texton import Network, TextonError
from texton.methods.parts.seams import check_torus, torus_multiple
from texton.network.device import choose_compute
from texton.network.torus import wrapped


def network(*, pool: nn.Module | None = None, mode: str = "zeros", padding: object = 1) -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=padding, padding_mode=mode),  # type: ignore[arg-type]
        nn.ReLU(),
        pool or nn.AvgPool2d(2),
        nn.Conv2d(4, 5, 5, stride=2, padding=2, dilation=1),
        nn.ReLU(),
    )
    return Network(module, name="small")


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (2, 0, 1, 3), (0, 0, 0, 0), (7, 7, 9, 9)])
def test_wrapping_is_circular_padding_and_so_is_its_slope(pads: tuple[int, int, int, int]) -> None:
    x = torch.rand(2, 3, 5, 4, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last).requires_grad_(True)
    rows = torch.arange(-pads[2], 5 + pads[3]) % 5
    columns = torch.arange(-pads[0], 4 + pads[1]) % 4
    wanted = x[:, :, rows][..., columns]
    made = wrapped(x, pads)
    assert torch.equal(made, wanted)
    weight = torch.rand_like(wanted)
    slopes = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (made, wanted)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize(
    "of",
    [
        network(),
        network(mode="reflect"),
        network(padding="same"),
        network(pool=nn.MaxPool2d(3, 2, padding=1)),
    ],
)
def test_codes_go_round_with_the_image(of: Network) -> None:
    check_torus(of, ["1", "4"])
    assert torus_multiple(of, ["4"]) == 4 and torus_multiple(of, ["1"]) == 1
    compute = choose_compute("cpu", torch.float32)
    image = torch.rand(1, 3, 16, 24)
    on_torus = of.encoder(["4"], compute, of.frozen(compute, torus=True))
    code = on_torus(image)["4"]
    torch.testing.assert_close(on_torus(image.roll((4, 8), (2, 3)))["4"], code.roll((1, 2), (2, 3)))
    plain = of.encode(image, ["4"])["4"]
    assert plain.shape == code.shape and not torch.allclose(plain, code), "the plain one pads"
    assert torch.equal(of.encode(image, ["4"])["4"], plain), "and is left as it was"


def test_what_pads_by_itself_is_refused() -> None:
    class Padding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.conv(F.pad(x, (1, 1, 1, 1))).relu()
            return out

    with pytest.raises(TextonError, match=r"'conv' of own sees no torus.*leave --tile out"):
        check_torus(Network(Padding(), name="own"), ["conv"])
