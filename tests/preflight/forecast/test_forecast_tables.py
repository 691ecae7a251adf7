"""The tables in the models' READMEs are what the forecast says of their recipes."""

import pytest

from pipelines.modeling.step_memory.training_load import Method
from tests.twins.forecast_tables import load_of, with_table
from tests.twins.models import ARCHITECTURES
from tests.twins.runs import PROJECT, RECIPES


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_the_table_of_a_readme_is_computed_and_says_that_it_is_predicted(model):
    text = (PROJECT / "recipes" / model / "README.md").read_text(encoding="utf-8")
    assert text == with_table(text, model), "run: python -m tests.twins.forecast_tables"
    assert "## Forecast, not measured" in text
    for recipe in (path for path in RECIPES if path.parents[1].name == model):
        assert f"[`{recipe.parent.name}/{recipe.name}`]" in text


def test_the_list_of_recipes_is_complete():
    listed = (PROJECT / "recipes" / "README.md").read_text(encoding="utf-8")
    assert not [path for path in RECIPES if f"({path.relative_to(PROJECT / 'recipes')})" not in listed]


def test_a_load_is_read_from_the_recipe():
    recipes = PROJECT / "recipes" / "llama-3.1-8b"
    qlora = load_of(recipes / "sft" / "qlora.yaml")
    assert (qlora.method, qlora.n_tokens, qlora.lora_rank) == (Method.QLORA, 2048, 16)
    assert qlora.trains_tokens
    preferences = load_of(recipes / "dpo" / "qlora.yaml")  # its rank is that of the adapter it goes on from
    assert (preferences.n_tokens, preferences.lora_rank, preferences.reference) == (2 * 2 * 1024, 16, True)
    full = load_of(PROJECT / "recipes" / "gpt2" / "sft" / "full.yaml")
    assert (full.method, full.weight_bytes, full.activation_checkpointing) == (Method.FULL, 4, False)
