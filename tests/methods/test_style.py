"""Modified codes, style transfer, fingerprints and the mixing desk."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import texton
from tests.helpers import EXAMPLES, Run, assert_refused, codes
from texton import Network, TextonError
from texton.network.codes import (
    channel_sums,
    gram,
    match_ranks,
    moments,
    random_shares,
    reallocate,
    scale_energy,
)
from texton.network.device import Compute

CAT, COFFEE = EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg"
QUICK = ("--size", 48, "--steps", 4)


@given(codes(), st.integers(0, 2**31), st.floats(0, 4))
def test_reallocating_keeps_energy_and_pattern(
    code: torch.Tensor, seed: int, spread: float
) -> None:
    shares = random_shares(code, torch.Generator().manual_seed(seed), spread)
    assert (shares >= 0).all() and torch.isfinite(shares).all()
    changed = reallocate(code, shares)
    assert changed.shape == code.shape
    torch.testing.assert_close(changed.sum((1, 2, 3)), code.sum((1, 2, 3)), rtol=1e-3, atol=1e-6)
    assert ((changed > 0) <= (code > 0)).all(), "no silent position becomes active"
    silent = channel_sums(code) == 0
    assert (channel_sums(changed)[silent] == 0).all()
    energies = channel_sums(changed)
    torch.testing.assert_close(
        energies, energies.sum(1, keepdim=True) * shares, rtol=1e-3, atol=1e-6
    )


def test_even_shares_and_other_seeds() -> None:
    code = torch.rand(1, 6, 4, 4)
    even = random_shares(code, torch.Generator().manual_seed(0), spread=0)
    torch.testing.assert_close(even, torch.full((1, 6), 1 / 6))
    one, other = (random_shares(code, torch.Generator().manual_seed(s)) for s in (0, 1))
    assert not torch.equal(one, other)


def test_match_ranks_orders_and_shifts() -> None:
    code = torch.rand(1, 5, 6, 6) + torch.tensor([3.0, 1, 5, 2, 4]).reshape(1, 5, 1, 1)
    style = torch.rand(1, 5, 3, 7) + torch.tensor([9.0, 8, 1, 7, 5]).reshape(1, 5, 1, 1)
    changed = match_ranks(code, style)
    assert changed.min() >= 0 and changed.shape == code.shape
    torch.testing.assert_close(changed.mean((2, 3)), style.mean((2, 3)))
    strongest = int(channel_sums(style)[0].argmax())
    flat = changed[0, strongest] - changed[0, strongest].mean()
    torch.testing.assert_close(flat, code[0, 2] - code[0, 2].mean())


def test_scale_energy_turns_only_what_it_is_told() -> None:
    code = torch.rand(1, 4, 3, 3)
    changed = scale_energy(code, {1: 3.0, 2: 0.0})
    assert torch.equal(changed[:, [0, 3]], code[:, [0, 3]])
    torch.testing.assert_close(changed[:, 1], 3 * code[:, 1])
    assert changed[:, 2].sum() == 0
    with pytest.raises(TextonError, match="no channel 4"):
        scale_energy(code, {4: 1.0})


def test_statistics_are_what_they_say() -> None:
    code = torch.rand(2, 3, 4, 5)
    flat = code.flatten(2)
    torch.testing.assert_close(gram(code)[1, 0, 2], (flat[1, 0] * flat[1, 2]).mean())
    torch.testing.assert_close(moments(code)[:, :3], flat.mean(2))
    torch.testing.assert_close(
        moments(code)[:, 3:], flat.std(2, correction=0), rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
def test_random_styles_differ_by_seed_and_keep_their_own(net: Network, cat: torch.Tensor) -> None:
    make = texton.invert_random
    one = make(cat, net, "relu1_1", shares_seed=1, preset="fast")
    again = make(cat, net, "relu1_1", shares_seed=1, preset="fast")
    other = make(cat, net, "relu1_1", shares_seed=2, preset="fast")
    restarted = make(cat, net, "relu1_1", shares_seed=1, seed=9, preset="fast")
    assert torch.equal(one.image, again.image)
    same_style = (one.image - restarted.image).abs().mean()
    assert (one.image - other.image).abs().mean() > 1.5 * same_style > 0


@pytest.mark.parametrize("method", ["pmci", "gatys", "moments"])
@pytest.mark.slow
def test_stylizing_brings_the_style_nearer_and_keeps_content(
    net: Network, cat: torch.Tensor, coffee: torch.Tensor, method: str
) -> None:
    made = texton.stylize(cat, [coffee], net, statistic=method, steps=25)
    terms = made.settings["terms"]
    assert terms["before"]["content"]["relu2_2"] == 0
    assert terms["after"]["content"]["relu2_2"] < 2
    assert sum(terms["after"]["style"].values()) < 0.6 * sum(terms["before"]["style"].values())
    assert terms["after"]["total"] < terms["before"]["total"]
    assert made.image.shape == cat.shape[1:]


@pytest.mark.slow
def test_weights_shares_and_colours(net: Network, cat: torch.Tensor, coffee: torch.Tensor) -> None:
    ramp = torch.linspace(0, 1, 40).expand(1, 3, 70, 40).contiguous()  # another aspect ratio

    def style_term(made: texton.Result) -> float:
        return float(sum(made.settings["terms"]["after"]["style"].values()))

    weak = texton.stylize(cat, [coffee], net, style_weight=0.1, steps=10)
    strong = texton.stylize(cat, [coffee], net, style_weight=100, steps=10)
    assert style_term(strong) < style_term(weak)
    mixed = texton.stylize(cat, [coffee, ramp], net, style_mix=(0.7, 0.3), steps=3)
    assert mixed.image.shape == cat.shape[1:]
    kept = texton.stylize(cat, [coffee], net, keep_colors="luma", steps=10)
    grey = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    chroma = [x - (x * grey).sum(0) for x in (kept.image, cat[0])]
    assert (chroma[0] - chroma[1]).abs().mean() < 0.02


@pytest.mark.slow
def test_the_paper_preset_is_2016s(net: Network, cat: torch.Tensor, coffee: torch.Tensor) -> None:
    for method in ("pmci", "gatys"):
        made = texton.stylize(cat, [coffee], net, statistic=method, preset="paper", steps=15)
        content = made.settings["terms"]["after"]["content"]["relu2_2"]
        style = sum(made.settings["terms"]["after"]["style"].values())
        assert made.total == pytest.approx(10 * content + style, rel=1e-3)
        assert made.settings["solver"]["weight_decay"] == 5e-3
        assert made.trace[-1] < made.trace[0]
    code = net.encode(cat, "relu1_1")["relu1_1"]
    target = net.encode(coffee, "relu1_1")["relu1_1"].mean((2, 3))
    positions = code.shape[2] * code.shape[3]
    expected = 0.5 * (code.sum((2, 3)) - target * positions).square().sum() / (64 * positions)
    from texton.methods.parts.paper2016 import Sums2016

    torch.testing.assert_close(Sums2016("x", target)({"x": code}, cat)[0], expected)


@pytest.mark.slow
def test_several_scales_are_solved_coarse_to_fine_and_told(net: Network) -> None:
    content = texton.read_image(CAT, 208)
    style = texton.read_image(COFFEE, 96)
    seen: list[int] = []
    real = net.prepare

    def watched(image: torch.Tensor, compute: Compute) -> torch.Tensor:
        if image.requires_grad:
            seen.append(image.shape[3])
        return real(image, compute)

    from unittest.mock import patch

    few = patch.dict("texton.methods.style._COUNTS", {"fast": (5, 4, 3)})
    with patch.object(net, "prepare", watched), few:
        made = texton.stylize(content, [style], net, preset="fast")
    assert seen == sorted(seen) and len(set(seen)) == 2 and len(seen) == made.steps
    assert made.image.shape == content.shape[1:]
    scales = made.settings["scales"]
    assert len(scales) == 2 and scales[-1]["scale"] == 1
    assert made.steps == len(made.trace) == sum(scale["steps"] for scale in scales)
    after = made.settings["terms"]["after"]
    assert made.total == after["total"] and made.content == after["content"]["relu2_2"]
    assert made.layer is None and set(made.figures) >= {"total", "content", "style"}


@pytest.mark.slow
def test_fingerprints_say_what_the_image_says(
    net: Network, cat: torch.Tensor, coffee: torch.Tensor, tmp_path: Path
) -> None:
    path = texton.fingerprint(coffee, net).save(tmp_path / "c.style")
    assert path.stat().st_size < 100_000
    kept = texton.read_fingerprint(path)
    for method in ("pmci", "moments"):
        told = {"statistic": method, "steps": 4, "style_blur": 0.0}
        from_file, from_image = (texton.stylize(cat, [x], net, **told) for x in (kept, coffee))
        assert (from_file.image - from_image.image).abs().mean() < 0.01
    distances = texton.style_distances([kept, coffee, cat], net)
    assert distances[0, 1] < 1e-3 < distances[0, 2]
    torch.testing.assert_close(distances, distances.T)


@pytest.mark.slow
def test_stylize_command(run: Run, tmp_path: Path) -> None:
    run("fingerprint", COFFEE, "-o", "c.style", "--size", 48)
    words = ("stylize", CAT, COFFEE, "c.style", "--style-mix", "0.7,0.3", "--json")
    made = json.loads(run(*words, *QUICK).out)
    assert made["image"] == "chelsea-coffee+c-style-mix0.7,0.3.png"
    assert made["settings"]["terms"]["after"]["style"].keys() == {f"relu{i}_1" for i in range(1, 6)}
    again = shlex.split(run("info", made["image"]).out.strip().splitlines()[-1])
    again[again.index("-o") + 1] = "again.png"
    assert run(*again[1:]).code == 0
    pictures = [Image.open(tmp_path / name).tobytes() for name in (made["image"], "again.png")]
    assert pictures[0] == pictures[1]


@pytest.mark.slow
def test_a_filters_own_texture_is_a_style(run: Run, tmp_path: Path) -> None:
    assert run("stylize", CAT, "relu4_2:4", "-o", "x.png", *QUICK).code == 0
    assert Image.open(tmp_path / "x.png").size == (48, 32)


@pytest.mark.slow
def test_modify_commands(run: Run, tmp_path: Path) -> None:
    for number, extra in enumerate(
        [("random", "--seed", 1), ("random", "--seed", 2), ("ranks", "--style", COFFEE)]
    ):
        words = ("invert", CAT, "relu2_1", "--modify", *extra, "-o", f"{number}.png", *QUICK)
        assert run(*words).code == 0
    pictures = [Image.open(tmp_path / f"{i}.png").tobytes() for i in range(3)]
    assert len(set(pictures)) == 3
    again = shlex.split(run("info", "2.png").out.strip().splitlines()[-1])
    again[again.index("-o") + 1] = "again.png"
    assert run(*again[1:]).code == 0
    assert Image.open(tmp_path / "again.png").tobytes() == pictures[2]


@pytest.mark.slow
def test_mix_command(run: Run, net: Network, tmp_path: Path) -> None:
    listed = json.loads(run("top", CAT, "relu2_1", "--count", 3, "--size", 48, "--json").out)
    shares = [row["share"] for row in listed["filters"]]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True) and shares[0] < 1
    words = ("mix", CAT, "relu2_1", "--energy", "39=4,71=0", "-o", "m.png", "--size", 48)
    assert run(*words, "--steps", 60).code == 0
    before = net.encode(texton.read_image(CAT, 48), "relu2_1")["relu2_1"].sum((0, 2, 3))
    after = net.encode(texton.read_image(tmp_path / "m.png"), "relu2_1")["relu2_1"].sum((0, 2, 3))
    assert after[39] > 1.1 * before[39] and after[71] < before[71]


@pytest.mark.slow
def test_compare_command(run: Run, tmp_path: Path) -> None:
    for index, box in enumerate([(0, 0, 150, 150), (150, 100, 300, 250)]):
        Image.open(COFFEE).crop(box).save(tmp_path / f"coffee{index}.png")
    words = ("compare", "coffee0.png", "coffee1.png", CAT, "--size", 64)
    table = run(*words, "-o", "map.png")
    assert table.code == 0 and table.out.count("*") == 3 and "map.png" in table.out
    assert Image.open(tmp_path / "map.png").width > 200
    for statistic in ("means", "moments", "gram"):
        made = json.loads(run(*words, "--statistic", statistic, "--json").out)
        assert made["nearest"][:2] == [1, 0]
        assert made["distances"][0][0] == 0 and made["distances"][0][2] > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((CAT, COFFEE, "--content-weight", "0"), "content weight is 0"),
        ((CAT, COFFEE, "--style-weight", "-3"), "style weight is -3"),
        ((CAT, CAT), "content itself"),
        ((CAT, "other.style"), "another network"),
        ((CAT, "broken.style"), "not a style file"),
        ((CAT, "good.style", "--method", "gatys"), "no Gram matrices"),
        ((CAT, COFFEE, "--style-layers", "pool5", "--size", "24"), "too small"),
        ((CAT, COFFEE, "--style-layers", "relu9_1"), "no layer"),
        ((CAT, COFFEE, "--method", "gaty"), "did you mean 'gatys'"),
        ((CAT, COFFEE, "--style-mix", "1,2"), "2 shares for 1"),
        ((CAT, COFFEE, "--style-mix", "x"), "--style-mix"),
        ((CAT, COFFEE, "--layer-weights", "1,2"), "2 weights for 5 style layers"),
        ((CAT, COFFEE, "--layer-weights", "1,1,0,1,1"), "use more than 0"),
        ((CAT, COFFEE, "--layer-weights", "1,a"), "--layer-weights"),
        ((CAT, COFFEE, "--bleed", "-1"), "0 to 15"),
        ((CAT, COFFEE, "--init", "black"), "content or noise"),
        ((CAT, "nothing.png"), "no file"),
        ((CAT, "relu4_9:3"), "did you mean"),
        ((CAT, "relu4_2:0-4"), "more than one filter"),
        ((CAT,), "Missing argument"),
    ],
)
def test_bad_input_to_stylize(
    words: tuple[object, ...], says: str, run: Run, net: Network, tmp_path: Path
) -> None:
    image = texton.read_image(COFFEE, 48)
    path = texton.fingerprint(image, net).save(tmp_path / "good.style")
    content = json.loads(path.read_text())
    (tmp_path / "other.style").write_text(json.dumps({**content, "weights_hash": "0"}))
    (tmp_path / "broken.style").write_text(path.read_text()[:200])
    before = sorted(tmp_path.iterdir())
    quick = () if "--size" in words else ("--size", "32")
    assert_refused(run("stylize", *words, "--steps", 1, *quick), says)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("mix", CAT, "relu2_1"), "--energy"),
        (("mix", CAT, "relu2_1", "--energy", "4"), "not understood"),
        (("mix", CAT, "relu2_1", "--energy", "4=-1"), "0 or more"),
        (("mix", CAT, "relu2_1", "--energy", "400=1"), "no channel"),
        (("top", CAT, "relu2_1", "--count", "0"), "use 1 or more"),
        (("top", CAT, "relu2_1", "--count", "129"), "ask for 1 to 128"),
        (("invert", CAT, "relu2_1", "--modify", "rank"), "use none"),
        (("invert", CAT, "relu2_1", "--modify", "ranks"), "go together"),
        (("invert", CAT, "relu2_1", "--modify", "random", "--spread", "-1"), "spread"),
        (("compare", CAT), "two images"),
        (("compare", CAT, COFFEE, "--statistic", "mean"), "use means"),
        (("fingerprint", CAT, "-o", "x.json"), "x.style"),
        (("fingerprint", CAT, "--layers", "relu9"), "no layer"),
    ],
)
def test_bad_input_to_the_others(
    words: tuple[object, ...], says: str, run: Run, tmp_path: Path
) -> None:
    assert_refused(run(*words, "--size", 32), says)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pictures_of_other_options_have_other_names(run: Run, tmp_path: Path) -> None:
    base = ("invert", CAT, "relu1_1", "--modify", "random", *QUICK)
    for more in ((), ("--shares-seed", 3), ("--spread", 2)):
        assert run(*base, *more).code == 0
    for style in (COFFEE, CAT):
        words = ("invert", CAT, "relu1_1", "--modify", "ranks", "--style", style, *QUICK)
        assert run(*words).code == 0
    for energy in ("4=2", "4=3"):
        assert run("mix", CAT, "relu1_1", "--energy", energy, *QUICK).code == 0
    assert len(list(tmp_path.glob("*.png"))) == 7


@pytest.mark.slow
def test_bands_and_devices_wherever_there_is_a_network(run: Run, tmp_path: Path) -> None:
    both = ("--bands", "0", "--device", "cpu", *QUICK)
    assert run("mix", CAT, "relu1_1", "--energy", "4=2", "-o", "m.png", *both).code == 0
    assert run("stylize", CAT, COFFEE, "-o", "s.png", *both).code == 0
    assert Image.open(tmp_path / "m.png").mode == Image.open(tmp_path / "s.png").mode == "L"
    size = ("--size", 32, "--device", "cpu")
    assert run("fingerprint", CAT, *size).code == 0
    assert run("compare", CAT, COFFEE, *size).code == 0
    assert run("top", CAT, "relu1_1", *size).code == 0
    assert_refused(run("compare", CAT, COFFEE, "--device", "tpu"), "unknown device")


@pytest.mark.slow
def test_a_comparisons_picture_tells_its_command(run: Run, tmp_path: Path) -> None:
    words = ("compare", CAT, COFFEE, "--size", 48, "--statistic", "moments")
    assert run(*words, "-o", "map.png").code == 0
    again = shlex.split(run("info", "map.png").out.strip().splitlines()[-1])
    assert again[:2] == ["texton", "compare"] and "--statistic" in again
    again[again.index("-o") + 1] = "again.png"
    assert run(*again[1:]).code == 0
    pictures = [Image.open(tmp_path / name).tobytes() for name in ("map.png", "again.png")]
    assert pictures[0] == pictures[1]


def test_each_random_style_has_a_name_of_its_own(run: Run, tmp_path: Path) -> None:
    for seed in (3, 4):
        words = ("invert", CAT, "relu1_1", "--modify", "random", "--seed", seed, *QUICK)
        assert run(*words).code == 0
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_the_content_is_no_style_at_another_size_either(run: Run, tmp_path: Path) -> None:
    words = ("stylize", CAT, CAT, "--style-size", 32, *QUICK)
    assert_refused(run(*words), "content itself")


def test_a_fingerprints_place_is_tried_before_the_work(run: Run, tmp_path: Path) -> None:
    with patch("texton.methods.parts.fingerprint.fingerprint", side_effect=AssertionError):
        assert_refused(run("fingerprint", CAT, "-o", "x.json"), "x.style")
        (tmp_path / "blocker").write_text("")
        assert_refused(run("fingerprint", CAT, "-o", "blocker/x.style"), "blocker")
