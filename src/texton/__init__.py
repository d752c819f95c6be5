"""texton: what does every filter of a convolutional network extract?

Its names are imported as they are first used: ``import texton`` alone does not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from texton.errors import near_names
from texton.version import __version__ as __version__

if TYPE_CHECKING:
    from texton.errors import TextonError as TextonError
    from texton.images.files import read_image as read_image
    from texton.images.files import read_settings as read_settings
    from texton.images.files import write_image as write_image
    from texton.methods.accentuation import accentuate as accentuate
    from texton.methods.activation_map import activation_map as activation_map
    from texton.methods.code_inversion import invert as invert
    from texton.methods.code_inversion import invert_random as invert_random
    from texton.methods.code_inversion import invert_ranks as invert_ranks
    from texton.methods.dream import dream as dream
    from texton.methods.feature_map_inversion import invert_direction as invert_direction
    from texton.methods.feature_map_inversion import invert_filter as invert_filter
    from texton.methods.feature_map_inversion import invert_filters as invert_filters
    from texton.methods.feature_map_inversion import iter_filters as iter_filters
    from texton.methods.maximisation import maximize as maximize
    from texton.methods.mixing import mix as mix
    from texton.methods.mixing import top_filters as top_filters
    from texton.methods.parts.fingerprint import Fingerprint as Fingerprint
    from texton.methods.parts.fingerprint import fingerprint as fingerprint
    from texton.methods.parts.fingerprint import read_fingerprint as read_fingerprint
    from texton.methods.parts.fingerprint import style_distances as style_distances
    from texton.methods.parts.projecting import project as project
    from texton.methods.projection import projection as projection
    from texton.methods.result import Result as Result
    from texton.methods.style import stylize as stylize
    from texton.methods.texture import synthesize as synthesize
    from texton.network.layers import Layer as Layer
    from texton.network.load import load_network as load_network
    from texton.network.network import Network as Network
else:
    _FACE = {
        "errors": "TextonError",
        "images.files": "read_image read_settings write_image",
        "methods.activation_map": "activation_map",
        "methods.accentuation": "accentuate",
        "methods.code_inversion": "invert invert_random invert_ranks",
        "methods.dream": "dream",
        "methods.feature_map_inversion": (
            "invert_direction invert_filter invert_filters iter_filters"
        ),
        "methods.parts.fingerprint": "Fingerprint fingerprint read_fingerprint style_distances",
        "methods.maximisation": "maximize",
        "methods.mixing": "mix top_filters",
        "methods.parts.projecting": "project",
        "methods.projection": "projection",
        "methods.result": "Result",
        "methods.style": "stylize",
        "methods.texture": "synthesize",
        "network.layers": "Layer",
        "network.load": "load_network",
        "network.network": "Network",
    }
    _HOME = {name: module for module, names in _FACE.items() for name in names.split()}
    __all__ = sorted([*_HOME, "__version__"])

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            near = near_names(name, __all__)
            raise AttributeError(f"module 'texton' has no attribute '{name}'{near}")
        globals()[name] = value = getattr(importlib.import_module(f"texton.{_HOME[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
