"""Where and in which number format a network is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from texton.errors import TextonError, first_line

T = TypeVar("T")
DEVICES = ("auto", "cpu", "cuda", "mps")
_SIDE_BY_SIDE = {"cuda": 64, "mps": 8}
_OF_FREE = 0.7  # of a GPU's free memory: the rest is for what convolutions work in
_NO_ROOM = (
    *("out of memory", "outofmemory", "alloc_failed", "std::bad_alloc", "not enough memory"),
    *("can't allocate memory", "cannot allocate memory", "failed to allocate"),
    # cuDNN finds no way that fits into what is left, and says so as if there were none:
    *("cudnn_status_not_supported", "unable to find an engine"),
)


@dataclass(frozen=True)
class Compute:
    """A device, a dtype and a memory format, chosen by what the device is able to do.

    Never chosen by a timing: the same machine must give the same picture every time.

    Attributes:
        alone: one image at a time: the network would mix them.
        because: why it is not the dtype that the device computes fastest.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    channels_last: bool = True
    alone: bool = False
    because: str = field(default="", compare=False)

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def batch(self) -> int:
        """How many images side by side are of use: they fill a GPU and only slow a CPU down."""
        return 1 if self.alone else _SIDE_BY_SIDE.get(self.device.type, 1)

    def room(self, each: int) -> int:
        """For how many images of so many bytes there is room: a power of two, at least 1.

        Of powers of two there are few, so that a picture, which is rounded in a way that goes
        with its batch's size, is rounded the same in most runs.
        """
        if self.alone or self.device.type != "cuda":
            return self.batch
        free, _ = torch.cuda.mem_get_info(self.device)
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        most = int(_OF_FREE * (free + kept)) // max(1, each)
        return 1 << max(0, most.bit_length() - 1)

    def arithmetic(self) -> AbstractContextManager[None]:
        """In which float32 is float32: CUDA convolves it with ten bits of mantissa by itself."""
        if self.device.type != "cuda" or self.dtype != torch.float32:
            return nullcontext()
        now = torch.backends.cudnn
        kept = {"benchmark": now.benchmark, "deterministic": now.deterministic}
        exactly: AbstractContextManager[None] = now.flags(
            enabled=now.enabled, allow_tf32=False, **kept
        )
        return exactly

    def exact(self) -> Compute:
        """The same device in float32: errors are measured in it."""
        return replace(self, dtype=torch.float32)

    def describe(self) -> dict[str, str]:
        return {
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "memory_format": "channels_last" if self.channels_last else "contiguous",
            **({"dtype_because": self.because} if self.because else {}),
        }


def choose_compute(
    device: str | torch.device = "auto", dtype: torch.dtype | None = None
) -> Compute:
    """The format that a device computes fastest without changing what the pictures show.

    Args:
        device: ``auto`` (CUDA, else MPS, else CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: overrides the choice: bfloat16 where the processor multiplies it natively
            (AVX512-BF16, AMX, CUDA from compute capability 8.0), float32 elsewhere.

    Raises:
        TextonError: the device is unknown or this machine does not have it.
    """
    chosen = _resolve(str(device))
    if dtype is None:
        dtype = torch.bfloat16 if _has_bfloat16(chosen) else torch.float32
    # torch's slopes through batch norms on MPS are wrong where channels lie last.
    return Compute(chosen, dtype, channels_last=chosen.type != "mps")


def dtype_named(name: str) -> torch.dtype | None:
    """That of an option's text; None for ``auto``."""
    return None if name == "auto" else getattr(torch, name)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no room: libraries, MPS and CPUs say so in a plain RuntimeError."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(text in said for text in _NO_ROOM)


def no_room(device: torch.device | str, said: str) -> str:
    """What to do where a device has no room for one image."""
    where = device if isinstance(device, str) else f"'{device}'"
    return (
        f"{where} has no memory left for one image ({said}): use a smaller --size or --device cpu"
    )


def halved(batch: int, device: torch.device, said: str) -> int:
    """The batch to go on with after a device ran out of memory.

    Raises:
        TextonError: one image is too much already.
    """
    if batch == 1:
        raise TextonError(no_room(device, said))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return batch // 2


def in_batches(
    count: int, compute: Compute, work: Callable[[slice], T], each: int = 0
) -> Iterator[T]:
    """``work`` on as many of ``count`` images at a time as the device has room for.

    Args:
        each: bytes that one image takes, where they are known.
    """
    start, together = 0, min(compute.batch, compute.room(each)) if each else compute.batch
    while start < count:
        part = slice(start, min(start + together, count))
        done: T | None = None
        full = ""
        try:
            done = work(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            full = first_line(error)
        if full:  # here, where the error no longer holds what it ran out with
            together = halved(part.stop - start, compute.device, full)
            continue
        assert done is not None
        yield done
        start = part.stop


def _resolve(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in DEVICES[1:]:
        raise TextonError(f"unknown device '{name}': use one of {', '.join(DEVICES)}")
    if device.type == "cpu":
        return torch.device("cpu")
    backend = torch.cuda if device.type == "cuda" else torch.backends.mps
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not backend.is_available() or (device.index or 0) >= count:
        raise TextonError(f"this machine has no device '{name}': use --device cpu or auto")
    return device


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return False
    # Emulated bfloat16 is slower than float32, so torch's own "supported" is not enough.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
