"""The layout's promises: imports point down, names shadow nothing, programs stay one page."""

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# From the bottom up; rooms on one floor do not import each other.
FLOORS = [
    ["pipelines.errors"],
    ["pipelines.files"],
    ["pipelines.command_line"],
    ["data_prep.conversation", "data_prep.text_rules"],
    ["data_prep.dataset_folder"],
    ["pipelines.records"],
    ["pipelines.recipe", "pipelines.hub", "pipelines.endpoint"],
    ["pipelines.modeling"],
    ["pipelines.inference"],
    ["pipelines.evaluation"],
    ["pipelines.training"],
    ["pipelines.served"],
    ["pipelines.postflight", "pipelines.merging"],
    ["pipelines.preflight", "pipelines.reproduction"],
    ["pipelines.report", "pipelines.chat_ui"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted([*(PROJECT / "pipelines").rglob("*.py"), *(PROJECT / "data_prep").rglob("*.py")])
PROGRAMS = [path for path in SOURCES if path.parent.parent == PROJECT and path.name != "__init__.py"]

LISTED = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
ROOMS = {Path(*Path(name).parts[:2]) for name in LISTED if re.match(r"(pipelines|data_prep)/\w+/", name)}


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith(("pipelines.", "data_prep."))}


def climbs(path: Path) -> list[str]:
    """What a file of a room imports from its own floor or from a higher one."""
    room = room_of(".".join(path.relative_to(PROJECT).with_suffix("").parts))
    highest = FLOOR_OF[room] - 1 if room in FLOOR_OF else FLOOR_OF["data_prep.dataset_folder"]
    found = []
    for module in imported_modules(path):
        target = room_of(module)
        within_data_prep = target.startswith("data_prep.") and room.startswith("data_prep.")
        if within_data_prep or target in (room, "pipelines", "data_prep"):
            continue
        if FLOOR_OF.get(target, len(FLOORS)) > highest:
            found.append(f"{path.relative_to(PROJECT)} imports {module}")
    return found


def test_imports_point_down_only():
    assert [climb for path in SOURCES if path not in PROGRAMS for climb in climbs(path)] == []


def test_every_room_is_on_a_floor():
    assert {".".join(room.parts) for room in ROOMS if room.parts[0] == "pipelines"} <= FLOOR_OF.keys()


def test_the_readme_of_each_package_lists_its_programs_and_rooms():
    for package in ("pipelines", "data_prep"):
        text = (PROJECT / package / "README.md").read_text()
        names = [f"`{one.name}" for one in (*PROGRAMS, *ROOMS) if one.parent.name == package]
        assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.name)
def test_a_program_is_one_page_and_no_program_imports_another(path):
    assert len(path.read_text().splitlines()) <= 120
    programs = {f"{p.parent.name}.{p.stem}" for p in PROGRAMS}
    assert not imported_modules(path) & programs


def test_files_and_functions_are_short():
    long = [str(path.relative_to(PROJECT)) for path in SOURCES if len(path.read_text().splitlines()) > 300]
    for path in SOURCES:
        for one in ast.walk(ast.parse(path.read_text())):
            if isinstance(one, ast.FunctionDef) and (one.end_lineno or 0) - one.lineno >= 60:
                long.append(f"{path.relative_to(PROJECT)}: {one.name}")
    assert long == []


def test_no_import_goes_in_a_circle():
    """Inside a room neither: a module is read from the top, and what it needs is read before it."""
    named = {".".join(path.relative_to(PROJECT).with_suffix("").parts): path for path in SOURCES}
    named = {name.removesuffix(".__init__"): path for name, path in named.items()}
    sorter = TopologicalSorter({name: imported_modules(path) & named.keys() - {name} for name, path in named.items()})
    sorter.prepare()  # raises CycleError, which names the circle


def test_a_folder_holds_at_most_15_files_beside_its_readme():
    """Empty ones, which mark a package, have nothing to read."""
    read = (Path(name) for name in LISTED if Path(name).name != "README.md" and (PROJECT / name).stat().st_size)
    folders = Counter(path.parent for path in read)
    assert [str(folder) for folder, n_files in folders.items() if n_files > 15] == []


def test_no_program_or_room_shadows_an_installed_module():
    """`accelerate launch pipelines/sft.py` puts pipelines/ first on sys.path."""
    names = {p.stem for p in PROGRAMS} | {p.parent.name for p in SOURCES if p.parent.parent.parent == PROJECT}
    names -= {"pipelines", "data_prep"}
    for name in names:
        assert name not in sys.stdlib_module_names, name
        spec = importlib.util.find_spec(name)
        assert spec is None or str(PROJECT) in str(spec.origin), f"{name} shadows {spec.origin}"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.name)
def test_help_is_the_docstring_and_imports_no_torch(path):
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'torch', 'transformers', 'datasets', 'pyarrow', 'trl', 'tokenizers'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    manual = ast.get_docstring(ast.parse(path.read_text()))
    assert manual
    assert manual.splitlines()[0] in done.stdout
    assert f"python {path.parent.name}/{path.name}" in manual


def test_the_rooms_below_modeling_import_no_torch():
    rooms = ["pipelines.errors", "pipelines.files", "pipelines.command_line", "pipelines.recipe", "pipelines.records"]
    rooms += ["data_prep.dataset_folder", "data_prep.conversation", "pipelines.report", "pipelines.hub"]
    rooms += ["pipelines.endpoint.client"]
    code = f"import sys, {', '.join(rooms)}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_top_level_is_the_design():
    top = {name.split("/")[0] for name in LISTED}
    assert top <= {
        "README.md", "pyproject.toml", "pipelines", "recipes", "data_prep", "tests", "accelerate_configs",
        "LICENSE", "Makefile", "constraints.txt", "AGENTS.md", "findings", ".ci", ".gitignore",
    }  # fmt: skip


def test_no_test_is_named_by_bytes(request):
    """Those of gzip hold the second they were made in, and two processes would collect different tests."""
    for item in request.session.items:
        cases = item.callspec.params.values() if hasattr(item, "callspec") else ()
        for spelled in (repr(value)[2:-1] for value in cases if isinstance(value, bytes) and len(value) > 8):
            assert spelled not in item.name, item.name


@pytest.mark.parametrize("path", sorted((PROJECT / "tests" / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_what_a_benchmark_takes_from_the_project_is_there(path):
    """No test runs a benchmark, so that one can rot unseen."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("pipelines", "data_prep", "tests")):
            module = importlib.import_module(str(node.module))
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not [name for name in missing if importlib.util.find_spec(f"{node.module}.{name}") is None]
