"""An error that needs no tensor is reported before the stack is imported: in half a second, not in fifteen."""

import dataclasses
import importlib

import pytest

from pipelines.recipe import ARGUMENTS, Stage
from pipelines.recipe.accepted_keys import accepted_keys
from tests.first_errors import MISTAKES, make_places, run_watched


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_places(tmp_path_factory.mktemp("mistakes"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.title)
def test_a_mistake_is_one_line_before_the_stack_is_imported(mistake, places):
    done, imported = run_watched(mistake.command(places))
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert lines[-1].startswith("error: ")
    assert mistake.error.format(**places) in lines[-1]
    assert imported == set()


@pytest.mark.parametrize("stage", list(Stage))
def test_the_keys_read_from_source_are_those_of_the_classes(stage):
    paths = [path.rpartition(".") for path in ARGUMENTS[stage]]
    kinds = [getattr(importlib.import_module(module), name) for module, _, name in paths]
    names = {field.name for kind in kinds for field in dataclasses.fields(kind) if field.init}
    assert set(accepted_keys(ARGUMENTS[stage])) == names
