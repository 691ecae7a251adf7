"""The tables of predictions in recipes/<model>/README.md: `python -m tests.twins.forecast_tables` writes them anew."""

import contextlib
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipelines.modeling.step_memory.forecast import memory_forecast
from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad, training_load
from pipelines.preflight.forecast.time import seconds_per_million_tokens
from pipelines.recipe import Recipe, parse_recipe
from tests.twins.models import ARCHITECTURES, real_config
from tests.twins.runs import KINDS, PROJECT, RECIPES, keys_of, recipe_that_writes

# Memory of common cards in GiB as their driver reports it, by the size that they are sold under.
_CARDS = {"16 GB": 15.6, "24 GB": 23.5, "48 GB": 44.9, "80 GB": 79.2, "141 GB": 139.8}
_OWN_TEMPLATE = ("qwen",)  # bases that bring a chat template; the others train rows of its marks
_METHODS = {Method.FULL: "full", Method.LORA: "LoRA", Method.LORA_8BIT: "LoRA on 8 bits", Method.QLORA: "QLoRA"}
_TABLE = re.compile(r"(?<=<!-- forecast -->\n).*?(?=<!-- /forecast -->)", re.DOTALL)


def parsed(recipe: Path, flags: Sequence[str] = ()) -> Recipe:
    """The recipe as its program parses it with `flags`, on a machine with or without an accelerator."""
    with contextlib.redirect_stderr(io.StringIO()):
        output = str(Path(tempfile.gettempdir()) / "never-written")
        return parse_recipe(KINDS[recipe.parent.name], ["--config", str(recipe), "--output_dir", output, *flags])


def load_of(recipe: Path, flags: Sequence[str] = ()) -> TrainingLoad:
    """What a device that computes in bfloat16 holds and computes in a step of `recipe` with `flags`."""
    bfloat16 = ["--bf16", "true", "--dtype", str(keys_of(recipe).get("dtype", "float32"))]  # asked for: on any machine
    data, training, model = parsed(recipe, [*bfloat16, *flags]).arguments
    adapter = getattr(data, "adapter_name_or_path", None)
    return training_load(
        model,
        training,
        data.max_length if recipe.parent.name == "pretrain" else training.max_length,
        trains_tokens=recipe.parent.name != "pretrain" and not recipe.parents[1].name.startswith(_OWN_TEMPLATE),
        adapter=parsed(recipe_that_writes(adapter)).arguments[2] if adapter else None,
    )


def forecast_table(model: str) -> str:
    """The Markdown table of all recipes of `model`."""
    shape = model_shape(real_config(model))
    rows = ["| recipe | method | predicted memory | fits on | predicted time for 1M tokens |", "|---|---|---|---|---|"]
    for recipe in RECIPES:
        if recipe.parents[1].name != model:
            continue
        load = load_of(recipe)
        gib = memory_forecast(shape, load).total / 2**30
        card = next((name for name, size in _CARDS.items() if gib <= size), "several GPUs")
        seconds = seconds_per_million_tokens(shape, load)
        name = f"{recipe.parent.name}/{recipe.name}"
        rows.append(f"| [`{name}`]({name}) | {_METHODS[load.method]} | {gib:.1f} GiB | {card} | {seconds:.1f} s |")
    return "\n".join(rows) + "\n"


def with_table(text: str, model: str) -> str:
    """`text` of a README with its table replaced."""
    return _TABLE.sub(lambda _: forecast_table(model), text, count=1)


if __name__ == "__main__":
    for each in ARCHITECTURES:
        readme = PROJECT / "recipes" / each / "README.md"
        readme.write_text(with_table(readme.read_text(encoding="utf-8"), each), encoding="utf-8")
