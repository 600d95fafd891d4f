"""The rules of the house that no linter knows: which room imports which, and what only one file may do."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = sorted(path for room in ("tfcap", "flags", "tfrecords_builder") for path in (ROOT / room).rglob("*.py"))
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PRODUCT}
TREES = {name: ast.parse(text) for name, text in TEXT.items()}

# A room imports only rooms of the rows before its own, and those that BESIDE names.
ORDER = (
    ("errors", "quiet", "__init__"),
    ("files", "progress", "installed"),
    ("reporting",),
    ("registry", "journal", "distilled_set"),
    ("fields", "effects"),
    ("resolution",),
    ("settings", "command_settings"),
    ("flags",),
    ("tfrecords_builder",),
    ("data", "selection", "evaluation"),
    ("models", "chosen_selector"),
    ("run_folder", "results", "trackers", "machine"),
    ("cards",),
    ("training", "export"),
    ("scoring",),
    ("distillation",),
    ("scoring_plan",),
    ("teacher",),
    ("preparation", "validation", "scored_run", "evaluation_folder"),
    ("proxies",),
    ("scores",),
    ("experiment",),
    ("grid", "search"),
    ("findings", "cell_costs"),
    ("study", "trials"),
    ("main", "caption", "score", "select", "inspect", "convert", "evaluate", "report", "tune", "distill"),
)
BESIDE = {("validation", "preparation")}
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
GROUND = ("selection", "evaluation", "reporting")


def _room(module: str) -> str | None:
    """The room of a module's dotted name: `tfcap.data.text` is in `data`; None outside the product."""
    first, *rest = module.split(".")
    if first == "tfcap":
        return rest[0] if rest else "__init__"
    return first if first in ("flags", "tfrecords_builder") else None


def _imports(name: str) -> set[str]:
    """Dotted names of the product's modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if _is_module(one) else node.module for one in whole}
    return {module for module in found if _room(module)}


def _is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _own_room(name: str) -> str:
    return _room(name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")) or name


def test_every_room_has_its_place_in_the_order():
    assert {_own_room(name) for name in TEXT} <= set(RANK)


def test_imports_go_one_way():
    wrong = []
    for name in TEXT:
        own = _own_room(name)
        for module in sorted(_imports(name)):
            room = _room(module)
            if not (room == own or RANK[room] < RANK[own] or (own, room) in BESIDE):
                wrong.append(f"{name} imports {module}")
    assert wrong == []


@pytest.mark.parametrize("room", GROUND)
def test_rooms_on_the_ground_know_no_other(room):
    for name in TEXT:
        if _own_room(name) == room:
            others = {_room(module) for module in _imports(name)} - {room, *ORDER[0], *ORDER[1]}
            assert not others, f"{name} imports {others}"


@pytest.mark.parametrize("room", ["selection", "flags"])
def test_selection_and_flags_are_free_of_tensorflow(room):
    for name in TEXT:
        if _own_room(name) == room:
            assert not re.search(r"^\s*(import|from) (tensorflow|keras|tfcap\.quiet)", TEXT[name], re.MULTILINE), name


def test_model_code_uses_keras_ops_alone():
    for name in TEXT:
        if name.startswith("tfcap/models/"):
            assert not re.search(r"^\s*(import|from) tensorflow", TEXT[name], re.MULTILINE), name


def test_only_functional_steps_open_a_gradient_tape():
    steps = ["contrastive", "matching", "step", "unrolled"]
    assert [name for name, text in TEXT.items() if "GradientTape(" in text] == [
        f"tfcap/training/{name}.py" for name in steps
    ]


def _renames(tree: ast.AST) -> list[int]:
    """Lines that rename a file: os.rename, os.replace, shutil.move, Path.rename, and Path.replace (one argument)."""
    lines = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        of_module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("os", "shutil")
        of_path = node.func.attr == "replace" and len(node.args) == 1 and not node.keywords
        if of_path or node.func.attr == "rename" or (of_module and node.func.attr in ("renames", "replace", "move")):
            lines.append(node.lineno)
    return lines


# Files that finish under another name what they fill over minutes, and so cannot write in one go.
GROWING = {"tfcap/data/resumable.py", "tfrecords_builder/archives.py"}


def test_only_files_renames():
    assert {name for name, tree in TREES.items() if _renames(tree)} - GROWING == {"tfcap/files.py"}


def test_files_and_functions_are_short():
    assert [name for name, text in TEXT.items() if text.count("\n") > 400] == []
    functions = [(name, node) for name, tree in TREES.items() for node in ast.walk(tree)]
    functions = [(name, node) for name, node in functions if isinstance(node, ast.FunctionDef)]
    assert [f"{name}: {node.name}" for name, node in functions if node.end_lineno - node.lineno >= 80] == []


def test_nothing_is_pickled_and_no_layer_is_a_lambda():
    wrong = re.compile(r"allow_pickle=True|\bLambda\(|safe_mode=False|enable_unsafe")
    assert [name for name, text in TEXT.items() if wrong.search(text)] == []


def test_no_text_is_written_without_saying_its_encoding():
    wrong = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "write_text":
                wrong += [] if any(word.arg == "encoding" for word in node.keywords) else [f"{name}:{node.lineno}"]
    assert wrong == []


def test_every_module_begins_with_a_docstring():
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree) and TEXT[name].strip()] == []
