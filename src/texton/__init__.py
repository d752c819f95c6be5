"""texton: what does every filter of a convolutional network extract?"""

__version__ = "0.1.0"

from texton.errors import TextonError
from texton.images import read_image, read_settings, write_image
from texton.methods.filters import invert_filter, invert_filters, iter_filters
from texton.methods.inversion import Priors, invert
from texton.network import Network
from texton.result import Result
from texton.tracing import Layer
from texton.zoo import load_network

__all__ = [
    "Layer",
    "Network",
    "Priors",
    "Result",
    "TextonError",
    "__version__",
    "invert",
    "invert_filter",
    "invert_filters",
    "iter_filters",
    "load_network",
    "read_image",
    "read_settings",
    "write_image",
]
