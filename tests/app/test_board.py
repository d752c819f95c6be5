"""What follows a hand: a picture solved on from where it is, coarse first, left at any step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import texton
from texton.app.board import COARSEST, Board, Seen
from texton.methods.code_inversion import InvertOptions
from texton.methods.feature_map_inversion import FilterOptions
from texton.methods.method import Task
from texton.methods.mixing import MixOptions
from texton.methods.options import Options
from texton.methods.parts.filter_inversion import FilterInversion
from texton.methods.result import Unit
from texton.network.codes import scale_energy
from texton.network.device import choose_compute
from texton.network.network import Network
from texton.solve.objective import CodeMatch

CPU = choose_compute("cpu", torch.float32)
LAYER = "3"


class Stop(Exception):  # noqa: N818 - as a page that was closed
    pass


@pytest.fixture(scope="module")
def small() -> Network:
    torch.manual_seed(5)
    convs = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU()
    return texton.load_network(nn.Sequential(*convs))


@pytest.fixture(scope="module")
def photo() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(1, 3, 12, 16, generator=generator)
    return nn.functional.interpolate(coarse, (72, 96), mode="bicubic").clamp(0, 1)


def task_of(photo: Tensor, network: Network, options: Options) -> tuple[Task, Unit]:
    label = "blend" if isinstance(options, FilterOptions) else None
    return Task(network, (), {None: photo}, options), Unit(LAYER, direction=label)


def follow(board: Board, photo: Tensor, network: Network, options: Options) -> list[Seen]:
    return list(board.follow(*task_of(photo, network, options)))


def error(picture: Tensor, photo: Tensor, network: Network, energy: dict[int, float]) -> float:
    with torch.no_grad():
        target = scale_energy(network.encode(photo, LAYER)[LAYER], energy)
        image = picture[None]
        return float(CodeMatch(LAYER, target)(network.encode(image, LAYER), image))


@pytest.fixture(scope="module")
def settled(small: Network, photo: Tensor) -> Board:
    board = Board(photo, small, LAYER, CPU)
    follow(board, photo, small, InvertOptions())
    return board


def test_every_step_is_a_whole_picture_and_the_first_is_coarse(
    small: Network, photo: Tensor
) -> None:
    board = Board(photo, small, LAYER, CPU)
    before = board.picture
    stream = board.follow(*task_of(photo, small, InvertOptions()))
    first = next(stream)
    assert first.image.shape == photo.shape[1:]
    assert float((first.image - before).abs().mean()) > 1e-3  # it is seen at once
    sizes = [size.image.shape[3] for size in board._sizes]
    assert sizes == [COARSEST, photo.shape[3]]
    assert first.step == 1 and first.steps >= sum(1 for _ in stream)


def test_it_comes_to_what_the_method_asks_for(
    settled: Board, photo: Tensor, small: Network
) -> None:
    energy = {0: 0.0, 3: 3.0}
    before = error(settled.picture, photo, small, energy)
    follow(settled, photo, small, MixOptions(energy=energy))
    made = texton.mix(photo, small, LAYER, energy, device="cpu", preset="fast")
    seen = error(settled.picture, photo, small, energy)
    assert seen < 0.35 * before
    assert seen < made.error + 0.05  # as near as the picture that is kept


def test_from_where_it_is_few_steps_do_more_than_from_noise(small: Network, photo: Tensor) -> None:
    energy, steps = {0: 0.9, 2: 1.1}, 6
    warm, cold = (Board(photo, small, LAYER, CPU) for _ in range(2))
    follow(warm, photo, small, InvertOptions())
    found = []
    for board in (warm, cold):
        stream: Iterator[Seen] = board.follow(*task_of(photo, small, MixOptions(energy=energy)))
        for _ in range(steps):
            next(stream)
        stream.close()  # type: ignore[attr-defined]
        found.append(error(board.picture, photo, small, energy))
    assert found[0] < 0.5 * found[1]


def test_a_new_target_never_throws_the_picture_away(
    settled: Board, small: Network, photo: Tensor
) -> None:
    """A first step of a solver that knows nothing would be as long as any: it undoes a picture."""
    follow(settled, photo, small, InvertOptions())
    errors = [x.error for x in follow(settled, photo, small, MixOptions(energy={1: 1.2}))]
    assert max(errors) < 2 * errors[0]


@pytest.mark.slow
def test_it_may_be_left_at_any_step_and_goes_on(small: Network, photo: Tensor) -> None:
    board = Board(photo, small, LAYER, CPU)
    for calls in range(1, 12):
        left = iter(range(calls))

        def check(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Stop

        energy = {calls % 8: calls % 4 + 0.5}
        with pytest.raises(Stop):
            for _ in board.follow(*task_of(photo, small, MixOptions(energy=energy)), check):
                pass
        assert float(board.picture.min()) >= 0 and float(board.picture.max()) <= 1
    final = {2: 2.0}
    follow(board, photo, small, MixOptions(energy=final))
    made = texton.mix(photo, small, LAYER, final, device="cpu", preset="fast")
    assert error(board.picture, photo, small, final) < made.error + 0.03


def test_one_seed_is_one_random_style_at_every_size(small: Network, photo: Tensor) -> None:
    board = Board(photo, small, LAYER, CPU)
    options = InvertOptions(modify="random", shares_seed=4)
    follow(board, photo, small, options)
    made = texton.invert_random(photo, small, LAYER, shares_seed=4, steps=30)
    other = texton.invert_random(photo, small, LAYER, shares_seed=5, steps=30)
    mine, same, apart = (
        small.encode(x[None], LAYER)[LAYER].clamp_min(0).sum((0, 2, 3))
        for x in (board.picture, made.image, other.image)
    )
    assert (mine - same).norm() < 0.5 * (mine - apart).norm()


def test_a_blend_wakes_filters_that_were_not_sought(small: Network, photo: Tensor) -> None:
    board = Board(photo, small, LAYER, CPU, blends=True)
    told = FilterOptions(direction={1: 0.5, 3: 0.5})
    compute = FilterInversion(photo, small, LAYER, told.settings(), CPU)
    for direction in ({1: 0.8, 3: 0.2}, {0: 0.4, 5: 0.6}):
        follow(board, photo, small, FilterOptions(direction=direction))
        units = compute.units({"blend": direction})
        made = texton.invert_direction(photo, small, LAYER, direction, device="cpu", preset="fast")
        seen = compute.measure(board.picture[None], units)
        assert seen.achieved[0] > 0.5 * made.achieved
        assert seen.errors[0] < made.error + 0.1


def test_a_photograph_no_larger_than_the_coarsest_has_one_size(
    small: Network, photo: Tensor
) -> None:
    tiny = nn.functional.interpolate(photo, (48, 64))
    assert len(Board(tiny, small, LAYER, CPU)._sizes) == 1


def test_a_mistake_is_told_and_the_board_goes_on(
    settled: Board, small: Network, photo: Tensor
) -> None:
    with pytest.raises(texton.TextonError, match="no channel 99"):
        follow(settled, photo, small, MixOptions(energy={99: 2.0}))
    assert follow(settled, photo, small, MixOptions(energy={1: 2.0}))
