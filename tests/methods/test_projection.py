"""Projections: which slopes a rule lets pass, in whatever form a network has its rectifiers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import texton
from texton import Network, TextonError
from texton.methods.parts.projecting import Projector, Rule, project, shown

RULES: tuple[Rule, ...] = ("gradient", "guided", "deconv")


def seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for weight in module.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.4
    return module


class Forms(nn.Module):
    """Two rectified convolutions and a pool; the rectifier is written as one likes."""

    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2)  # its windows overlap
        self.second = nn.Conv2d(6, 4, 3, padding=1)
        self.last = nn.Identity()
        self.rectify = rectify
        seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.rectify(self.first(x - 0.5)))
        out: Tensor = self.last(self.rectify(self.second(x)))
        return out


def ignored(x: Tensor) -> Tensor:
    x.relu_()  # what it returns is not looked at
    return x


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "Tensor.relu": lambda x: x.relu(),
    "relu_": ignored,
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "threshold": nn.Threshold(0, 0),
}


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.rand(1, 3, 17, 20, generator=torch.Generator().manual_seed(0))


def by_hand(image: Tensor, channel: int, rule: Rule) -> Tensor:
    """The rule written out, layer by layer."""
    net = Forms(F.relu)
    with torch.no_grad():
        a = net.first(image - 0.5)
        pooled, switches = F.max_pool2d(a.relu(), 3, 2, return_indices=True)
        b = net.second(pooled)
        slope = torch.zeros_like(b)
        place = int(b[0, channel].argmax())
        slope[0, channel].view(-1)[place] = 1.0

        def back(slope: Tensor, x: Tensor) -> Tensor:
            keep = torch.ones_like(slope)
            keep *= (x > 0) if rule != "deconv" else 1
            keep *= (slope > 0) if rule != "gradient" else 1
            return slope * keep

        slope = F.conv_transpose2d(back(slope, b), net.second.weight, padding=1)
        opened = torch.zeros(1, 6, a.shape[2] * a.shape[3])
        opened.scatter_add_(2, switches.flatten(2), slope.flatten(2))  # adds where they share one
        slope = back(opened.view_as(a), a)
        return F.conv_transpose2d(slope, net.first.weight, padding=1)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("form", FORMS)
def test_a_rule_is_what_it_says_in_every_form(form: str, rule: Rule, picture: Tensor) -> None:
    network = Network(Forms(FORMS[form]))
    found = project(picture, network, "last", 2, rule=rule, device="cpu")
    torch.testing.assert_close(found, by_hand(picture, 2, rule))


def test_the_rules_differ_and_gradient_is_the_gradient(picture: Tensor) -> None:
    network = Network(Forms(F.relu))
    made = {rule: Projector(network, "last", rule, "cpu").project(picture, 1) for rule in RULES}
    assert len({round(float(one.slopes.abs().sum()), 4) for one in made.values()}) == 3
    row, column = made["gradient"].cells[0].tolist()
    pixels = picture.clone().requires_grad_()
    code = network.encode(pixels, "last")["last"]
    assert float(code[0, 1].detach().amax()) == pytest.approx(float(made["gradient"].values[0]))
    (slope,) = torch.autograd.grad(code[0, 1, row, column], pixels)
    torch.testing.assert_close(made["gradient"].slopes, slope)


def test_relu6_keeps_its_upper_end(picture: Tensor) -> None:
    for rectify in (nn.ReLU6(), F.relu6, lambda x: x.clamp(0, 6), nn.Hardtanh(0.0, 6.0)):
        network = Network(Forms(lambda x, f=rectify: f(x * 4)))
        pixels = picture.clone().requires_grad_()
        code = network.encode(pixels, "last")["last"]
        full, between = code == 6, (code > 0) & (code < 6)
        channel = int((full.any(3).any(2) & between.any(3).any(2))[0].int().argmax())
        place = full[0, channel].nonzero()[:1]  # there the slope is 0
        for rule in ("gradient", "guided"):
            found = project(picture, network, "last", channel, place, rule, device="cpu")
            assert not found.any()
        place = between[0, channel].nonzero()[:1]
        found = project(picture, network, "last", channel, place, "gradient", device="cpu")
        (slope,) = torch.autograd.grad(code[0, channel, place[0, 0], place[0, 1]], pixels)
        torch.testing.assert_close(found, slope)
        assert found.any()


def test_a_batch_is_its_images_one_by_one(picture: Tensor) -> None:
    network = Network(Forms(F.relu))
    images = torch.cat([picture, picture.flip(3), picture.flip(2)])
    projector = Projector(network, "last", "guided", "cpu")
    together = projector.project(images, [0, 1, 2])
    for index in range(3):
        alone = projector.project(images[index : index + 1], index)
        torch.testing.assert_close(together.slopes[index], alone.slopes[0])
        assert together.cells[index].tolist() == alone.cells[0].tolist()
    with torch.no_grad():
        seen = projector.look(picture)
        for channel in range(3):
            alone = projector.project(picture, channel)
            torch.testing.assert_close(seen.project([channel]).slopes, alone.slopes)


@pytest.mark.parametrize(
    ("rectify", "says"),
    [
        (F.gelu, "uses gelu before last"),
        (nn.SiLU(), "uses silu before last"),
        (nn.LeakyReLU(0.1), "uses leaky_relu before last"),
        (nn.Hardtanh(), "uses hardtanh before last"),
        (torch.tanh, "has no ReLU before last"),
    ],
)
def test_a_rule_nobody_defined_is_refused(
    rectify: Callable[[Tensor], Tensor], says: str, picture: Tensor
) -> None:
    network = Network(Forms(rectify), name="mine")
    for rule in ("guided", "deconv"):
        with pytest.raises(TextonError, match=f"mine {says}: {rule} is .* use --rule gradient"):
            project(picture, network, "last", 0, rule=rule)
    if rectify is F.gelu:  # its gradient is one, and before the first all rules are
        assert project(picture, network, "last", 0, rule="gradient").any()
        assert project(picture, network, "first", 0, rule="guided").any()


def test_mistakes_are_told(picture: Tensor) -> None:
    network = Network(Forms(F.relu))
    with pytest.raises(TextonError, match="unknown rule 'x': use deconv"):
        project(picture, network, "last", 0, rule="x")  # type: ignore[arg-type]
    with pytest.raises(TextonError, match="no layer 'lst'"):
        project(picture, network, "lst", 0)
    with pytest.raises(TextonError, match="last has channels 0 to 3"):
        project(picture, network, "last", 4)
    with pytest.raises(TextonError, match="8 rows and 9 columns: no such position"):
        project(picture, network, "last", 0, torch.tensor([[8, 0]]))


def test_average_pooling_hides_the_photograph_from_a_deconvnet(
    net: Network, cat: Tensor, coffee: Tensor
) -> None:
    place = torch.tensor([[4, 4]])
    layer = "relu2_2"
    code = net.encode(torch.cat([cat, cat.flip(3)]), layer)[layer][:, :, 4, 4]
    channel = int(code.amin(0).argmax())  # active in both
    drawn = {
        rule: [project(x, net, layer, channel, place, rule) for x in (cat, cat.flip(3))]
        for rule in ("template", "deconv", "guided")
    }
    torch.testing.assert_close(*drawn["template"])
    for rule in ("deconv", "guided"):
        one, other = drawn[rule]
        assert float((one - other).abs().mean()) > 0.1 * float(one.abs().mean())
    trained_so = texton.load_network(pooling="max")
    torch.testing.assert_close(
        drawn["deconv"][0], project(cat, trained_so, layer, channel, place, "deconv")
    )


def test_silent_filters_have_no_projection() -> None:
    network = Network(Forms(F.relu))
    black = torch.full((1, 3, 17, 20), 0.5)
    silent = int(network.encode(black, "last")["last"].amax((2, 3))[0].argmin())
    for rule in RULES:
        found = Projector(network, "last", rule, "cpu").project(black, silent)
        assert float(found.values[0]) == 0 and not found.slopes.any()
        assert (shown(found.slopes) == 0.5).all()


def test_pictures_are_on_mid_grey_with_one_scale() -> None:
    slopes = torch.zeros(2, 3, 8, 8)
    slopes[0, 0, 2, 2], slopes[0, 1, 2, 2] = 4.0, -2.0
    slopes[1] = slopes[0] / 100
    made = shown(slopes)
    assert made[0, :, 2, 2].tolist() == [1.0, 0.25, 0.5] and float(made[0, 0, 0, 0]) == 0.5
    torch.testing.assert_close(made[0], made[1])
    grey = shown(slopes, grey=True)
    assert grey[0, :, 2, 2].tolist() == [1.0] * 3 and float(grey[0, 0, 0, 0]) == 0
