"""What the paper's Figure 3 shows, on two very different photographs."""

from __future__ import annotations

import pytest
import torch

import texton
from tests.helpers import EXAMPLES
from texton import Network

PHOTOS = ("chelsea.jpg", "coffee.jpg")


def mean_colour(photo: str, net: Network, layer: str, channel: int) -> list[float]:
    image = texton.read_image(EXAMPLES / photo, 64)
    made = texton.invert_filter(image, net, layer, channel)
    assert made.status == "ok"
    return made.image.mean((1, 2)).tolist()


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.slow
def test_colours_of_figure_3(net: Network, photo: str) -> None:
    r, g, b = mean_colour(photo, net, "relu1_2", 2)
    assert b > r + 0.2 and b > g + 0.2, "blue"
    r, g, b = mean_colour(photo, net, "relu1_2", 3)
    assert g > r + 0.1 and g > b + 0.1, "green"
    r, g, b = mean_colour(photo, net, "relu2_2", 0)
    assert r > g + 0.2 and b > g + 0.2, "magenta"
    r, g, b = mean_colour(photo, net, "relu3_2", 0)
    assert r > g + 0.2 and r > b + 0.2, "red"
    r, g, b = mean_colour(photo, net, "relu3_2", 4)
    assert r > b + 0.05 and g > b + 0.05, "yellow"


@pytest.mark.slow
def test_a_filters_texture_is_the_same_on_two_photographs(net: Network) -> None:
    """Told by the energies of a layer the inversion did not look at."""
    channels = [0, 1, 2, 3, 4]
    prints = []
    for photo in PHOTOS:
        image = texton.read_image(EXAMPLES / photo, 48)
        made = texton.invert_filters(image, net, "relu3_2", channels, preset="fast")
        codes = [net.encode(result.image[None], "relu4_1")["relu4_1"] for result in made]
        energies = torch.cat([code.mean((2, 3)) for code in codes])
        prints.append(torch.nn.functional.normalize(energies - energies.mean(0), dim=1))
    nearest = (prints[0] @ prints[1].T).argmax(1)
    assert nearest.tolist() == channels
