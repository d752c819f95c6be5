"""Devices without room, as they and their libraries say it; formats that a device cannot have."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch

from tests.helpers import EXAMPLES, Run, assert_refused
from texton import TextonError
from texton.network.device import Compute, choose_compute, in_batches, is_out_of_memory

TEXTS = [
    "CUDA error: out of memory",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "HIP out of memory. Tried to allocate 20.00 MiB",
    "MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB)",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a …",
    "GET was unable to find an engine to execute this computation",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 137438953472 bytes. Error code 12 (Cannot allocate memory)",
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried",
    "std::bad_alloc",
    "hipErrorOutOfMemory",
]
EIGHT = patch("texton.network.device._SIDE_BY_SIDE", {"cpu": 8})


@pytest.mark.works(
    "a device out of memory, in the words of CUDA, cuBLAS, cuDNN, HIP, MPS or a processor",
    "half as many filters at a time, and on; one line where one is too much",
)
@pytest.mark.parametrize("error", [*map(RuntimeError, TEXTS), MemoryError()], ids=str)
def test_a_device_without_room_takes_fewer_at_a_time(error: Exception) -> None:
    def work(part: slice) -> int:
        if part.stop - part.start > 2:
            raise error
        return part.stop - part.start

    with EIGHT:
        assert list(in_batches(5, Compute(torch.device("cpu")), work)) == [2, 2, 1]


def test_one_image_too_many_is_told_with_what_the_device_said() -> None:
    def work(part: slice) -> int:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED.")

    with EIGHT, pytest.raises(TextonError, match=r"no memory left for one image \(cuDNN error"):
        list(in_batches(5, Compute(torch.device("cpu")), work))


def test_other_errors_are_no_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
    with EIGHT, pytest.raises(RuntimeError, match="shapes"):
        list(
            in_batches(
                5, Compute(torch.device("cpu")), lambda _: torch.ones(2, 2) @ torch.ones(3, 3)
            )
        )


@pytest.mark.works("MPS", "channels first, as torch's gradients are wrong there otherwise; not run")
def test_mps_keeps_its_channels_first() -> None:
    with patch("texton.network.device._resolve", lambda _: torch.device("mps")):
        assert choose_compute("mps").memory_format == torch.contiguous_format
        assert choose_compute("mps").describe()["memory_format"] == "contiguous"
    assert choose_compute("cpu").memory_format == torch.channels_last


def test_a_command_without_room_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError(TEXTS[8])

    monkeypatch.setattr("texton.network.network.Network.prepare", full)
    outcome = run("invert", EXAMPLES / "chelsea.jpg", "relu1_1", "--size", 24, "--steps", 1)
    assert_refused(outcome, "has no memory left for one image ([enforce fail at alloc_cpu")
