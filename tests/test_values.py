"""Values that hold tensors are themselves and no other: ``==`` between tensors is no answer."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass

import pytest
import torch

import texton

HOLDS = ("Tensor", "NDArray", "Vector")


def dataclasses() -> list[type]:
    found = {}
    for module in pkgutil.walk_packages(texton.__path__, "texton."):
        if module.name.endswith("__main__"):
            continue
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if is_dataclass(value) and value.__module__ == module.name:
                found[f"{module.name}.{value.__name__}"] = value
    return list(found.values())


def test_a_dataclass_that_holds_tensors_is_compared_by_identity() -> None:
    holding = [
        cls
        for cls in dataclasses()
        if any(
            kind in str(f.type) and "Callable" not in str(f.type)
            for f in fields(cls)
            for kind in HOLDS
        )
    ]
    assert texton.Fingerprint in holding and len(holding) >= 8
    comparing = [f"{cls.__module__}.{cls.__name__}" for cls in holding if "__eq__" in vars(cls)]
    assert not comparing


@pytest.mark.parametrize("count", [1, 64])
def test_fingerprints_of_one_content_are_two(count: int) -> None:
    one, other = (texton.Fingerprint("n", "w", {"l": torch.zeros(1, count)}) for _ in range(2))
    assert one == one and one != other and len({one, other}) == 2
