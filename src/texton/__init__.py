"""texton: what does every filter of a convolutional network extract?"""

from texton.errors import TextonError
from texton.images.files import read_image, read_settings, write_image
from texton.methods.code_inversion import Priors, invert
from texton.methods.feature_map_inversion import invert_filter, invert_filters, iter_filters
from texton.methods.fingerprint import (
    Fingerprint,
    fingerprint,
    read_fingerprint,
    style_distances,
)
from texton.methods.modified import invert_random, invert_ranks, mix, top_filters
from texton.methods.result import Result
from texton.methods.style import stylize
from texton.methods.style_settings import StyleSettings
from texton.network.layers import Layer
from texton.network.load import load_network
from texton.network.network import Network
from texton.version import __version__

__all__ = [
    "Fingerprint",
    "Layer",
    "Network",
    "Priors",
    "Result",
    "StyleSettings",
    "TextonError",
    "__version__",
    "fingerprint",
    "invert",
    "invert_filter",
    "invert_filters",
    "invert_random",
    "invert_ranks",
    "iter_filters",
    "load_network",
    "mix",
    "read_fingerprint",
    "read_image",
    "read_settings",
    "style_distances",
    "stylize",
    "top_filters",
    "write_image",
]
