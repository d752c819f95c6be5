"""All methods, by name: every file of this folder that declares one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import texton.methods
from texton.errors import TextonError, near_names
from texton.methods.method import Method


@cache
def methods() -> dict[str, Method]:
    """Every file of `texton.methods` that has a ``METHOD``, by the method's name."""
    names = sorted(found.name for found in pkgutil.iter_modules(texton.methods.__path__))
    modules = [importlib.import_module(f"texton.methods.{name}") for name in names]
    every = [module.METHOD for module in modules if hasattr(module, "METHOD")]
    return {method.name: method for method in every}


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        TextonError: there is none; the nearest are named.
    """
    known = methods()
    if name not in known:
        choice = ", ".join(known)
        raise TextonError(f"there is no method '{name}'{near_names(name, known)}: use {choice}")
    return known[name]
