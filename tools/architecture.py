"""Who imports whom in src/texton: checked against the rules of the house, and drawn.

    python tools/architecture.py            # the rules, and what offends against them
    python tools/architecture.py --write    # the drawing in docs/architecture.md, anew

Rules: a folder imports only from floors below it; there is no circle, neither of files nor of what
lies in one folder; no chain of imports is longer than 17 files; one file knows of network/fast.
An import inside a function counts as any other; one for type checkers alone counts for circles of
files: two files that name each other's types are one idea in two places.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "texton"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawing: python tools/architecture.py --write -->\n", "<!-- end -->\n"

FLOORS = (
    ("cli",),
    ("app", "atlas", "experiments"),
    ("jobs", "training"),
    ("methods",),
    ("solve", "evidence", "learned"),
    ("network",),
    ("images", "web"),
    ("ground",),
)
LONGEST = 17
FACE = "__init__.py"  # of texton itself: names imported as they are used

Graph = dict[str, set[str]]  # a file or folder → those that it imports


def imports(typed: bool = False) -> Graph:
    """Every file under src/texton, as ``"network/codes.py"``, and the files that it imports.

    Args:
        typed: those for type checkers alone as well.
    """
    files = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
    graph: Graph = {}
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        wanted = {file for module in modules_in(tree, typed) if (file := file_of(module, files))}
        graph[name] = wanted - {name}
    return graph


def modules_in(tree: ast.AST, typed: bool = False) -> Iterator[str]:
    """The dotted names that may be modules of texton, outside ``if TYPE_CHECKING`` or all."""
    ahead = [tree]
    while ahead:
        node = ahead.pop()
        if (
            isinstance(node, ast.If)
            and ast.unparse(node.test).endswith("TYPE_CHECKING")
            and not typed
        ):
            ahead += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            ahead += ast.iter_child_nodes(node)


def file_of(module: str, files: Mapping[str, Path]) -> str | None:
    """The file of a module, or of the module whose name the last part is."""
    first, *parts = module.split(".")
    if first != "texton":
        return None
    for known in (parts, parts[:-1]):
        for name in ("/".join(known) + ".py", "/".join([*known, "__init__.py"])):
            if name in files:
                return name
    return None


def within(graph: Graph, folder: str = "") -> Graph:
    """The files and folders that lie in ``folder``, and which of them imports which."""
    inside = PurePosixPath(folder)
    joined: Graph = {}
    for name, targets in graph.items():
        if (here := _child(name, inside)) is None:
            continue
        others = {child for target in targets if (child := _child(target, inside))}
        joined.setdefault(here, set()).update(others - {here})
    return joined


def _child(name: str, folder: PurePosixPath) -> str | None:
    path = PurePosixPath(name)
    return path.relative_to(folder).parts[0] if path.is_relative_to(folder) else None


def _room(name: str) -> str:
    """The folder of a file; the files that lie beside the folders are the ground."""
    return name.partition("/")[0] if "/" in name else "ground" if name != FACE else ""


def longest_chain(graph: Graph) -> list[str]:
    """The most files of which each imports the next; there must be no circle."""
    best: dict[str, list[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        best[name] = [name, *max((best[other] for other in graph[name]), key=len, default=[])]
    return max(best.values(), key=len)


def offences(graph: Graph) -> list[str]:
    """What breaks a rule, a line each."""
    found = []
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms} | {"": -1}
    for name, targets in graph.items():
        room = _room(name)
        if room not in floor:
            found.append(f"{name} lies on no floor")
        for target in sorted(targets):
            below = _room(target)
            if below != room and floor.get(below, 0) <= floor.get(room, -1):
                found.append(f"{name} imports {target}, which is not below it")
    folders = {"", *(str(up) for name in graph for up in PurePosixPath(name).parents)} - {"."}
    for folder in sorted(folders):
        try:
            TopologicalSorter(within(graph, folder)).prepare()
        except CycleError as error:
            found.append(f"circle in {folder or 'texton'}: {' ← '.join(error.args[1])}")
    try:
        if len(chain := longest_chain(graph)) > LONGEST:
            found.append(f"a chain of {len(chain)} files: {' → '.join(chain)}")
    except CycleError:
        found += circles(graph)
    fast = "network/fast/"
    doors = [
        name
        for name, targets in graph.items()
        if not name.startswith(fast) and any(target.startswith(fast) for target in targets)
    ]
    if len(doors) > 1:
        found.append(f"network/fast has {len(doors)} doors: {', '.join(doors)}")
    return found


def circles(graph: Graph) -> list[str]:
    """A circle of files, told in a line, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"circle of files: {' ← '.join(error.args[1])}"]
    return []


def drawing(graph: Graph) -> str:
    """The folders by floors, as a Mermaid flowchart; an arrow that others imply is left out."""
    rooms: Graph = {}
    for name, targets in graph.items():
        rooms.setdefault(_room(name), set()).update(map(_room, targets - {name}))
    lines = ["```mermaid", "flowchart TD"]
    for number, floor in zip(range(len(FLOORS), 0, -1), FLOORS, strict=True):
        there = [room for room in floor if room in rooms]
        lines.append(f'  subgraph floor{number}["{number}"]')
        lines += [f'    {room}["<b>{room}</b><br/>{_purpose(room, graph)}"]' for room in there]
        lines.append("  end")
    for floor in FLOORS:
        for room in floor:
            direct = rooms.get(room, set()) - {room}
            implied = {far for near in direct for far in _reached(rooms, near)} - {room}
            lines += [f"  {room} --> {other}" for other in sorted(direct - implied)]
    return "\n".join([*lines, "```", ""])


def _reached(graph: Graph, start: str) -> set[str]:
    """What ``start`` imports, directly or not, itself left out."""
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        new = graph.get(ahead.pop(), set()) - reached - {start}
        reached |= new
        ahead += new
    return reached


def _purpose(room: str, graph: Graph) -> str:
    """The first clause of a folder's docstring; of the ground, its files."""
    if room == "ground":
        return ", ".join(name.removesuffix(".py") for name in graph if _room(name) == room)
    text = ast.get_docstring(ast.parse((SOURCE / room / FACE).read_text(encoding="utf-8"))) or ""
    return re.split(r"[:;.]( |$)", text.splitlines()[0])[0].replace('"', "'")


def main() -> int:
    graph = imports()
    if sys.argv[1:] == ["--write"]:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}{drawing(graph)}{END}{after}", encoding="utf-8")
    found = offences(graph) or circles(imports(typed=True))
    print(f"{len(graph)} files, {len(FLOORS)} floors; {len(found)} offences")
    print(*found, sep="\n")
    if not any(line.startswith("circle of files") for line in found):
        print("longest chain:", len(chain := longest_chain(graph)), " → ".join(chain))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
