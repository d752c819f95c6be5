"""A network that has forgotten: its upper layers with random weights."""

from __future__ import annotations

import math

from texton.network.hooks import CALL
from texton.network.network import Network


def randomised(network: Network, twin: Network, layer: str, share: float) -> Network:
    """A copy whose upper convolutions, up to a layer, have the twin's weights.

    What belongs to a convolution (normalisation, up to the next) goes with it.
    """
    names = list(network.layers)
    way = names[: names.index(layer) + 1]
    convolutions = [i for i, name in enumerate(way) if network.layers[name].kind == "conv"]
    count = math.ceil(share * len(convolutions))
    taken = way[convolutions[-count] :] if convolutions and share < 1 else way
    parts = {name.partition(CALL)[0] for name in taken}
    module = network.copied()
    state, other = module.state_dict(), twin.module.state_dict()
    for key in state:
        if key.rpartition(".")[0] in parts:
            state[key] = other[key].clone()
    module.load_state_dict(state, assign=True)  # in place it would be the network's own
    name = f"{network.name}, random from the top by {share:.0%}"
    return Network(module, name=name, details=network.details, **network.preprocessing)
