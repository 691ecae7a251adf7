"""Clean pairs, real data and this project's own recipes: no error and no warning."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pipelines.preflight.run_checks import run_checks
from pipelines.recipe import parse_recipe
from pipelines.recipe.stages import ARGUMENTS
from pipelines.records.finding import Finding, Severity
from tests.planted_faults.clean import CLEAN_PAIRS
from tests.planted_faults.examined import examined
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair, Stage, write_pair
from tests.planted_faults.real_rows import PAIRS, sample_of, save_real_base
from tests.planted_faults.shipped_recipes import ShippedRecipes
from tests.twins.runs import PROJECT, RECIPES


def alarms(findings: Sequence[Finding]) -> list[str]:
    """What is no note, in one line each."""
    return [f"{one.id} ({one.severity}): {one.summary}" for one in findings if one.severity is not Severity.NOTE]


@pytest.mark.parametrize("clean", CLEAN_PAIRS, ids=lambda clean: f"{clean.name} ({clean.family})")
def test_nothing_is_said_of_a_clean_pair(clean, bases, tmp_path):
    pair = clean.pair()
    assert not alarms(examined(write_pair(pair, tmp_path, bases[clean.family]), pair.stage))


def test_there_are_clean_pairs_of_all_families():
    assert len(CLEAN_PAIRS) >= 20
    assert {clean.family for clean in CLEAN_PAIRS} == set(Family)


# What is true of a sample of real rows.
_TRUE = {
    "alpaca": {"PLACEHOLDER_VALUES": "one row's input is 'No input'"},
    "glaive tool calls": {"DUPLICATE_ROWS": "35 of the 300 conversations are there twice"},
}


@pytest.fixture(scope="session")
def real_bases(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Real configs and tokenizers, without weights."""
    folder = tmp_path_factory.mktemp("real-bases")
    return {model: save_real_base(model, folder / model, shared_data) for model in ("gpt2", "qwen2.5-0.5b")}


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_of_real_rows_only_what_is_true_is_said(name, model, real_bases, shared_data, tmp_path):
    keys = {"dtype": "bfloat16", "bf16": True, "max_length": 1024 if model == "gpt2" else 4096}
    recipe = write_pair(Pair(sample_of(name, shared_data), keys=keys), tmp_path, real_bases[model])
    findings = examined(recipe, Stage.SFT)
    assert not [one.summary for one in findings if one.severity is Severity.ERROR]
    assert not [alarm for alarm in alarms(findings) if alarm.split()[0] not in _TRUE.get(name, {})]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> ShippedRecipes:
    """Twins of the recipes' models and sets."""
    return ShippedRecipes(tmp_path_factory.mktemp("shipped"), Path("no-real-tokenizers"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(PROJECT / "recipes")))
def test_nothing_is_said_of_a_shipped_recipe_over_clean_rows(path, shipped):
    stage = Stage(path.parent.name)
    recipe = parse_recipe(ARGUMENTS[stage], shipped.flags(path))
    assert not alarms(run_checks(recipe, stage).findings)
