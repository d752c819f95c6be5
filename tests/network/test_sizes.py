"""Images of a size that a network does not take: the cause and the remedy in one line."""

from __future__ import annotations

import re

import pytest
import torch

from tests.network.test_fields import deep, unet
from tests.transformers import vit
from texton import Network, TextonError


@pytest.mark.parametrize(
    ("make", "layer", "said"),
    [
        (deep, "last", "multiples of 16, which 40×56 is not: use --size 64 --crop square"),
        (unet, "join.1", "multiples of 4, which 40×58 is not"),
        (vit, "blocks.1", "takes images of 32×32 pixels alone, not of 40×56: leave --crop out"),
    ],
)
def test_the_cause_and_the_remedy(make: object, layer: str, said: str) -> None:
    network = Network(make())  # type: ignore[operator]
    height = 58 if "58" in said else 56
    with pytest.raises(TextonError, match=re.escape(said)):
        network.encode(torch.rand(1, 3, height, 40), layer)
    first = next(iter(network.layers))
    if make is not vit:
        assert network.encode(torch.rand(1, 3, height, 40), first)[first].shape[2] == height


def test_a_fixed_size_is_learnt_from_what_works() -> None:
    assert Network(vit()).input_size() == (32, 32)
    assert Network(vit()).input_size(["patches"]) is None, "what comes before takes any size"
    assert Network(deep()).input_size() is None
