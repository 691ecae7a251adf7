"""What the wheel installs: every module, and every other file that a module reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipelines", "data_prep")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, unpacked; it is built from a copy, so that the checkout gets no build folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *PACKAGES):
        subprocess.run(["cp", "-r", PROJECT / name, source], check=True)
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_holds_every_file_but_the_manuals(installed):
    here = {path.relative_to(PROJECT) for name in PACKAGES for path in (PROJECT / name).rglob("*") if path.is_file()}
    wanted = {path for path in here if path.name != "README.md" and "__pycache__" not in path.parts}
    assert {path for path in wanted if not (installed / path).is_file()} == set()


def test_what_is_installed_reads_its_templates(installed, tmp_path):
    code = (
        "from pipelines.modeling.chat_template import CHATML\n"
        "from pipelines.report.rendering import environment_with, page_parts\n"
        "import pipelines\n"
        "environment = environment_with({})\n"
        "print(pipelines.__path__[0], len(CHATML) > 0, len(page_parts('report.css', 'findings.css')['style']) > 0)\n"
        "print(sorted(environment.list_templates()))"
    )
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, templates = done.stdout.splitlines()
    assert first == f"{installed / 'pipelines'} True True"
    assert "report.html.j2" in templates
