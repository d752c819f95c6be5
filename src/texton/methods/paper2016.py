"""The 2016 code's own style transfer: its normalisers, its weights, its solver.

Kept to compare with. Its two methods are not on one scale (see `style_transfer` for terms that
are), and its sums are compared at the content's size, as means times positions, because styles
here are never squashed.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from texton.errors import TextonError
from texton.network.codes import gram, means
from texton.solve.objective import Codes, Objective

CONTENT_WEIGHT, STYLE_WEIGHT = 10.0, 1.0
WEIGHT_DECAY = 5e-3


class _Term2016(Objective):
    """One layer's term, of the 2016 scale, against a fixed target."""

    def __init__(self, layer: str, target: Tensor) -> None:
        self.layers = (layer,)
        self._target = target


class Content2016(_Term2016):
    """½ ‖φ(X) − target‖² / (M·N)."""

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        difference = codes[self.layers[0]].float() - self._target
        positions = difference.shape[2] * difference.shape[3]
        return 0.5 * difference.square().sum((1, 2, 3)) / positions


class Sums2016(_Term2016):
    """½ Σ_c (S_c − T_c)² / (C·M·N): PMCI's style term (section 2.3). ``target``: means (1, C)."""

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = codes[self.layers[0]]
        positions = code.shape[2] * code.shape[3]
        difference = (means(code) - self._target) * positions
        return 0.5 * difference.square().sum(1) / (code.shape[1] * positions)


class Gram2016(_Term2016):
    """Σ (G − A)² / (4 C² (M·N)²), Gatys et al. eq. 4. ``target``: mean Gram (1, C, C)."""

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = codes[self.layers[0]]
        difference = gram(code) - self._target  # both over M·N, which the norm has squared
        return difference.square().sum((1, 2)) / (4 * code.shape[1] ** 2)


def paper_terms(
    method: str, content_layer: str, content: Tensor, targets: Mapping[str, Tensor]
) -> list[tuple[str, str, Objective]]:
    """The terms of 2016 for ``pmci`` or ``gatys``: (kind, layer, objective)."""
    kinds: dict[str, type[_Term2016]] = {"pmci": Sums2016, "gatys": Gram2016}
    if method not in kinds:
        raise TextonError(f"the paper preset has pmci and gatys, not {method}: use another preset")
    terms: list[tuple[str, str, Objective]] = [
        ("content", content_layer, Content2016(content_layer, content))
    ]
    return terms + [("style", layer, kinds[method](layer, t)) for layer, t in targets.items()]
