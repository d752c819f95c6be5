"""Directions of channel space: filters are one kind of them, solved and measured alike."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import texton
from tests.helpers import Sleepy
from texton import Network, TextonError
from texton.experiments.claims import depth, specific_texture
from texton.experiments.harness.folder import Folder
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.methods.parts.filter_inversion import FilterInversion
from texton.methods.parts.seeds import generator_for
from texton.network.codes import energy_shares
from texton.network.device import Compute, choose_compute, in_batches
from texton.solve.directions import Directions
from texton.solve.objective import Activation, CodeMatch, FeatureMapMatch
from texton.solve.presets import solver_settings

pytestmark = pytest.mark.slow

CPU = choose_compute("cpu")
KINDS = st.sampled_from(["blend", "dense", "one"])


def drawn(kind: str, count: int, channels: int, seed: int) -> torch.Tensor:
    """Shares (count, channels): of a few filters, of all, or of one alone but not 1."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(count, channels, generator=generator) + 0.1
    if kind == "dense":
        return shares
    for row in shares:
        fewer = torch.randperm(channels, generator=generator)
        row[fewer[1 if kind == "one" else 2 + int(fewer[0]) % 2 :]] = 0
    return shares


def codes(count: int, channels: int, seed: int) -> torch.Tensor:
    """Codes (count, channels, 5, 4) as networks give them, some of their values negative."""
    generator = torch.Generator().manual_seed(seed)
    code = torch.rand(count, channels, 5, 4, generator=generator) - 0.2
    return code.contiguous(memory_format=torch.channels_last)


def slope_of(objective: Any, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    code = code.detach().requires_grad_(True)
    value = objective({"x": code}, code)
    (slope,) = torch.autograd.grad((value * torch.arange(1.0, len(code) + 1)).sum(), code)
    return value.detach(), slope


@given(st.integers(1, 3), st.sampled_from([torch.float32, torch.bfloat16]), st.integers(0, 99))
def test_a_filter_is_the_direction_whose_only_share_is_1(
    count: int, dtype: torch.dtype, seed: int
) -> None:
    code, total = codes(count, 7, seed).to(dtype), torch.rand(1, 5, 4)
    channels = [(seed + b) % 7 for b in range(count)]
    shares = F.one_hot(torch.tensor(channels), 7)
    for kind in (FeatureMapMatch, Activation):
        filters, directions = kind("x", channels, total), kind("x", shares, total)
        for of_filter, of_direction in zip(
            slope_of(filters, code), slope_of(directions, code), strict=True
        ):
            assert torch.equal(of_filter, of_direction)
        if isinstance(filters, FeatureMapMatch) and isinstance(directions, FeatureMapMatch):
            assert torch.equal(filters.achieved({"x": code}), directions.achieved({"x": code}))


@given(KINDS, st.integers(1, 3), st.integers(4, 9), st.integers(0, 99))
def test_a_directions_error_is_that_of_its_whole_target(
    kind: str, count: int, channels: int, seed: int
) -> None:
    shares, code = drawn(kind, count, channels, seed), codes(count, channels, seed)
    total = torch.rand(1, 5, 4, generator=torch.Generator().manual_seed(seed))
    target = shares[:, :, None, None] * total[:, None]
    match = FeatureMapMatch("x", shares, total)
    for found, wanted in zip(
        slope_of(match, code), slope_of(CodeMatch("x", target), code), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(match.achieved({"x": target}), torch.ones(count))
    torch.testing.assert_close(match({"x": target}, target), torch.zeros(count), atol=1e-5, rtol=0)


@given(KINDS, st.integers(0, 99))
def test_directions_of_a_batch_do_not_mix(kind: str, seed: int) -> None:
    shares, code, total = drawn(kind, 3, 6, seed), codes(3, 6, seed), torch.rand(1, 5, 4)
    for objective in (FeatureMapMatch, Activation):
        values, slopes = slope_of(objective("x", shares, total), code)
        for b in range(3):
            value, slope = slope_of(objective("x", shares[b : b + 1], total), code[b : b + 1])
            torch.testing.assert_close(values[b], value[0])
            torch.testing.assert_close(slopes[b], slope[0] * (b + 1))


def test_an_activation_is_along_its_direction() -> None:
    shares, code, where = drawn("blend", 2, 6, 3), codes(2, 6, 3), torch.rand(1, 5, 4)
    own = (code * shares[:, :, None, None]).sum(1)
    wanted = -(own * where).sum((1, 2)) / where.sum() / own.abs().mean((1, 2))
    torch.testing.assert_close(Activation("x", shares, where)({"x": code}, code), wanted)


@pytest.mark.parametrize("layer", ["relu1_2", "relu4_2"])
def test_a_filters_picture_is_that_of_its_direction(
    net: Network, cat: torch.Tensor, layer: str
) -> None:
    settings = solver_settings("fast", steps=12)
    inversion = FilterInversion(cat, net, layer, settings, CPU)
    one_hot = inversion.units({"any": {4: 1.0}})
    assert isinstance(one_hot, torch.Tensor)
    made = [
        next(inversion.solve(units, [generator_for(0, "any", layer, 4)], None))
        for units in ([4], one_hot)
    ]
    assert torch.equal(made[0].image, made[1].image)
    assert made[0].figures == made[1].figures and made[0].trace == made[1].trace


def test_a_blend_is_solved_for_what_it_asks(net: Network, cat: torch.Tensor) -> None:
    shares = {3: 0.25, 8: 0.75}
    made = texton.invert_direction(cat, net, "relu2_2", shares, preset="fast")
    before, after = (
        energy_shares(net.encode(x, "relu2_2")["relu2_2"])[0, [3, 8]]
        for x in (cat, made.image[None])
    )
    assert made.status == "ok" and bool((after > 2 * before).all())
    assert made.figures["leakage"] == pytest.approx(1 - float(after.sum()), abs=1e-4)
    assert made.settings["options"]["directions"] == {"3=0.25,8=0.75": {"3": 0.25, "8": 0.75}}
    vector = torch.zeros(128)
    vector[[3, 8]] = torch.tensor([0.25, 0.75])
    again = texton.invert_direction(cat, net, "relu2_2", vector, preset="fast")
    assert torch.equal(again.image, made.image)


def test_directions_have_noise_of_their_own_whatever_is_beside_them(
    net: Network, cat: torch.Tensor
) -> None:
    both = {"a": {1: 1.0}, "b": {1: 1.0}}
    a, b = texton.invert_filters(cat, net, "relu1_1", both, preset="fast", steps=4)
    (alone,) = texton.invert_filters(cat, net, "relu1_1", {"b": {1: 1.0}}, preset="fast", steps=4)
    assert torch.equal(b.image, alone.image) and not torch.equal(a.image, b.image)


def test_a_silent_direction_is_woken_and_a_dead_one_is_named() -> None:
    network = Network(Sleepy())
    photo = torch.full((1, 3, 24, 24), 0.5)
    woken = texton.invert_direction(photo, network, "relu", {1: 1.0})
    assert woken.status == "ok" and woken.achieved is not None and woken.achieved > 0.005
    dead = texton.invert_direction(photo, network, "relu", {2: 0.5})
    assert dead.status == "dead" and dead.figures["starts"] >= 3 and dead.figures["achieved"] == 0.0


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (torch.ones(63), r"is \(63,\): the layer takes \(64,\)"),
        (torch.ones(1, 64), r"is \(1, 64\)"),
        (torch.zeros(64), "not all 0"),
        ({}, "not all 0"),
        ({3: 0.5, 4: -0.5}, "not negative"),
        ({3: float("nan")}, "finite"),
        (torch.full((64,), float("inf")), "finite"),
        ({64: 1.0}, "no channel 64: the layer has 0 to 63"),
    ],
)
def test_shares_that_are_no_direction_are_refused_in_a_line(
    net: Network, cat: torch.Tensor, shares: Any, message: str
) -> None:
    with pytest.raises(TextonError, match=message) as refused:
        texton.invert_direction(cat, net, "relu1_1", shares, "mine")
    assert "\n" not in str(refused.value)


def test_what_is_measured_of_a_batch_is_what_is_measured_of_each(
    net: Network, cat: torch.Tensor
) -> None:
    images = torch.rand(3, *cat.shape[1:], generator=torch.Generator().manual_seed(0))
    settings = solver_settings("fast")
    one, many = (FilterInversion(cat, net, "relu2_1", settings, c) for c in (CPU, Many(CPU.device)))
    for units in ([1, 5, 7], drawn("blend", 3, 128, 0)):
        apart, together = one.measure(images, units), many.measure(images, units)
        torch.testing.assert_close(torch.tensor(together), torch.tensor(apart))


class Many(Compute):
    """Solves several images side by side, as a GPU would."""

    @property
    def batch(self) -> int:
        return 4


def test_a_batch_that_finds_no_room_is_halved() -> None:
    sizes: list[int] = []

    def work(part: slice) -> list[int]:
        sizes.append(part.stop - part.start)
        if sizes[-1] > 2:
            raise RuntimeError("MPS backend out of memory")
        return list(range(part.start, part.stop))

    assert list(chain.from_iterable(in_batches(7, Many(CPU.device), work))) == list(range(7))
    assert sizes == [4, 2, 2, 2, 1]
    with pytest.raises(RuntimeError, match="another"):
        next(in_batches(1, CPU, lambda _: (_ for _ in ()).throw(RuntimeError("another"))))


def test_energy_shares_are_those_of_the_photograph(net: Network, cat: torch.Tensor) -> None:
    inversion = FilterInversion(cat, net, "relu1_2", solver_settings("fast"), CPU)
    sums = net.encode(cat, "relu1_2")["relu1_2"].sum((0, 2, 3))
    wanted = sums / sums.sum()
    torch.testing.assert_close(torch.tensor(inversion.energy_shares([3, 60])), wanted[[3, 60]])
    blend = inversion.units({"any": {3: 0.1, 60: 0.9}})
    assert inversion.energy_shares(blend) == pytest.approx([float(wanted[[3, 60]].sum())])


def test_the_photographs_code_is_not_kept(net: Network, cat: torch.Tensor) -> None:
    """Nor by a view of it: a code is many times as large as all that is needed of it."""
    inversion = FilterInversion(cat, net, "relu1_2", solver_settings("fast"), CPU)
    kept = [value for value in vars(inversion).values() if isinstance(value, torch.Tensor)]
    assert kept and all(x.untyped_storage().nbytes() <= 2 * cat.nbytes for x in kept)


@pytest.mark.parametrize("claim", [depth, specific_texture])
def test_filters_and_their_controls_are_solved_alike(
    claim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one function and its settings, or their columns could not be compared."""
    options = Options(size=48, steps=2, filters=1 if claim is depth else 2, preset="fast")
    lab = Lab("any", options, Folder(tmp_path))
    original, seen = FilterInversion.solver, {}

    def watched(self: FilterInversion, *given: Any) -> Any:
        solver = original(self, *given)
        settings = solver.settings, solver.canvas().shape, type(solver.objective)
        seen.setdefault(kind, set()).add((*settings, solver._smooths, len(solver.starts)))
        return solver

    monkeypatch.setattr(FilterInversion, "solver", watched)
    for series in claim._series(lab, "relu1_2"):
        kind = series.kind
        figures = [made.figures for made in lab.made(series)]
        assert all(f["leakage"] is not None for f in figures)
    assert {"filter", "blend", "random"} <= set(seen)
    for shapes in zip(*(sorted(s, key=str) for s in seen.values()), strict=True):
        assert len(set(shapes)) == 1


def test_directions_take_rows_with_supports_of_different_sizes() -> None:
    directions = Directions(torch.tensor([[0.0, 0.5, 0, 0.5], [0, 0, 1, 0]]), CPU.device)
    values = torch.tensor([[1.0, 2, 3, 4], [1, 2, 3, 4]])
    torch.testing.assert_close(directions.weighted(values), torch.tensor([3.0, 3]))
    torch.testing.assert_close(directions.within(values), torch.tensor([6.0, 3]))
