"""What a stranger's forward does beside computing, and how texton's results are kept from it.

It is noted once, while the layers are traced, so that a network that only computes pays nothing.
"""

from __future__ import annotations

import io
import pickle
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.utils.checkpoint as checkpointing
from torch import nn
from torch.overrides import TorchFunctionMode

from texton.network.memory import Memory

_SEED = 0x7E470  # nobody's own: a forward that seeds with 0 is seen
_GENERATORS = [
    name
    for name in (
        "_checkpoint_without_reentrant_generator",
        "_checkpoint_without_reentrant_generator_impl",  # its name from torch 2.14 on
    )
    if hasattr(checkpointing, name)
]


def _cudnn() -> tuple[bool, bool]:
    return torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic


def _set_cudnn(kept: tuple[bool, bool]) -> None:
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = kept


def _set_device(kept: torch.device) -> None:
    torch.set_default_device(None if kept.type == "cpu" else kept)


_SWITCHES: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_device, _set_device),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (_cudnn, _set_cudnn),
)


@dataclass
class Habits:
    """What one network's forward was seen to do.

    Attributes:
        draws: random numbers: every forward gets the same ones.
        prints: to stdout, where a program may be reading.
        switches: threads, dtype, flags of the process: put back.
        checkpoints: throws its codes away for the backward pass, where nobody finds them: kept.
        cuts: computes its codes without a graph: it is kept all the same.
        remembers: parts that keep something from one image to the next, which is forgotten.
    """

    draws: bool = False
    prints: bool = False
    switches: bool = False
    checkpoints: bool = False
    cuts: bool = False
    remembers: set[str] = field(default_factory=set)

    def any(self) -> bool:
        return any(vars(self).values())

    @contextmanager
    def noted(self, module: nn.Module) -> Iterator[Callable[[], None]]:
        """Run the module inside: what it does is noted, and undone.

        Yields:
            What makes it forget the images that it was run on so far.
        """
        said, seen = _Overheard(), _Checkpoints()
        before = _settings()
        with redirect_stdout(said), seen.replaced(), _seeded(None, module):
            start = _random_states(module)
            memory = Memory(module)

            def forget() -> None:
                self.remembers |= memory.put_back()

            try:
                yield forget
            finally:
                forget()
                self.draws |= _random_states(module) != start
                self.switches |= _settings() != before
                _put_back(before)
        self.prints |= said.heard
        self.checkpoints |= seen.met

    @contextmanager
    def kept(self, module: nn.Module, device: torch.device, slopes: bool) -> Iterator[None]:
        """Run the module inside as often as wanted, with what it does undone.

        Args:
            slopes: whether a gradient to the image will be asked for.
        """
        before = _settings()
        with ExitStack() as stack:
            if self.remembers:
                stack.callback(Memory(module, self.remembers).put_back)
            if self.prints:
                stack.enter_context(redirect_stdout(_Nowhere()))
            if self.draws:
                stack.enter_context(_seeded(device, module))
            if self.checkpoints:
                stack.enter_context(_Checkpoints().replaced())
            if self.cuts and slopes:
                stack.enter_context(_kept_graph())
            try:
                yield
            finally:
                if self.switches:
                    _put_back(before)


@contextmanager
def undisturbed(seed: int = _SEED, told: bool = False) -> Iterator[None]:
    """Run a stranger's code inside: what it does to the process is undone, what it draws is seeded.

    Args:
        told: what it prints is shown on stderr; nowhere else.
    """
    before = _settings()
    with redirect_stdout(sys.stderr if told else _Nowhere()), _seeded(None, None, seed):
        try:
            yield
        finally:
            _put_back(before)


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


class _Overheard(_Nowhere):
    """Tells people what a program must not read, once."""

    heard = False

    def write(self, text: str) -> int:
        self.heard = True
        return sys.stderr.write(text)


def _settings() -> list[Any]:
    return [read() for read, _ in _SWITCHES]


def _put_back(kept: list[Any]) -> None:
    for (read, write), value in zip(_SWITCHES, kept, strict=True):
        if read() != value:
            write(value)


def _own_generators(module: nn.Module | None) -> list[Any]:
    kinds = torch.Generator, np.random.Generator, np.random.RandomState, random.Random
    parts = [] if module is None else module.modules()
    return [x for part in parts for x in vars(part).values() if isinstance(x, kinds)]


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.get_state()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _restart(generator: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(generator.initial_seed())
    elif isinstance(generator, np.random.Generator):
        bits: Any = type(generator.bit_generator)
        generator.bit_generator.state = bits(_SEED).state
    else:
        generator.seed(_SEED)


def _random_states(module: nn.Module | None) -> list[bytes]:
    states = [_state(x) for x in (torch.default_generator, *_own_generators(module))]
    states += [random.getstate(), np.random.get_state()]
    return [x.numpy().tobytes() if isinstance(x, torch.Tensor) else pickle.dumps(x) for x in states]


@contextmanager
def _seeded(
    device: torch.device | None, module: nn.Module | None, seed: int = _SEED
) -> Iterator[None]:
    """The same random numbers every time, and everybody's generators left as they were."""
    own = _own_generators(module)
    numbers, drawn = random.getstate(), np.random.get_state()
    states = [_state(x) for x in (torch.default_generator, *own)]
    further = nullcontext() if device is None or device.type == "cpu" else _seeded_on(device)
    with further:
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        for generator in own:
            _restart(generator)
        try:
            yield
        finally:
            random.setstate(numbers)
            np.random.set_state(drawn)
            for generator, state in zip((torch.default_generator, *own), states, strict=True):
                _set_state(generator, state)


@contextmanager
def _seeded_on(device: torch.device) -> Iterator[None]:
    """The same of a GPU; there is one of MPS, which does not ask which."""
    backend = torch.get_device_module(device)
    which = () if device.type == "mps" else (device,)
    chosen = backend.device(device) if which else nullcontext()
    state = backend.get_rng_state(*which)
    with chosen:
        backend.manual_seed(_SEED)
    try:
        yield
    finally:
        backend.set_rng_state(state, *which)


class _Checkpoints:
    """Checkpointed functions run as they are: codes are taken from inside them, and a picture's
    graph is needed once."""

    def __init__(self) -> None:
        self.met = False

    @contextmanager
    def replaced(self) -> Iterator[None]:
        here, seen = threading.get_ident(), self
        by_function = checkpointing.CheckpointFunction

        class Direct:
            @staticmethod
            def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
                if threading.get_ident() != here:
                    return by_function.apply(function, preserve, *args)
                seen.met = True
                return function(*args)

        def direct(usual: Any, *args: Any, **kwargs: Any) -> Iterator[None]:
            if threading.get_ident() != here:
                yield from usual(*args, **kwargs)
                return
            seen.met = True
            yield

        with ExitStack() as stack:
            stack.enter_context(patch.object(checkpointing, "CheckpointFunction", Direct))
            for name in _GENERATORS:
                stand_in = partial(direct, getattr(checkpointing, name))
                stack.enter_context(patch.object(checkpointing, name, stand_in))
            yield


class _GradientsStayOn(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch._C._set_grad_enabled and not args[0]:
            return None
        return function(*args, **(kwargs or {}))


@contextmanager
def _kept_graph() -> Iterator[None]:
    """``no_grad`` and ``inference_mode`` inside have no effect, in this thread."""
    here, enter = threading.get_ident(), torch.inference_mode.__enter__

    def entered(self: torch.inference_mode) -> None:
        mode, self.mode = self.mode, self.mode and threading.get_ident() != here
        enter(self)
        self.mode = mode

    with patch.object(torch.inference_mode, "__enter__", entered), _GradientsStayOn():
        yield
