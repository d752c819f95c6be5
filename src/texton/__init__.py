"""texton: what does every filter of a convolutional network extract?"""

from texton.errors import TextonError
from texton.images import read_image, read_settings, write_image
from texton.methods.filters import invert_filter, invert_filters, iter_filters
from texton.methods.fingerprint import (
    Fingerprint,
    fingerprint,
    read_fingerprint,
    style_distances,
)
from texton.methods.inversion import Priors, invert
from texton.methods.modified import invert_random, invert_ranks, mix, top_filters
from texton.methods.style_settings import StyleSettings
from texton.methods.style_transfer import stylize
from texton.network import Network
from texton.result import Result
from texton.tracing import Layer
from texton.version import __version__
from texton.zoo import load_network

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
