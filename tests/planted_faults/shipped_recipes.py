"""The recipes of recipes/ before the doctor: on tiny twins of their models, over clean rows in their sets' format."""

import json
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from peft import get_peft_model
from trl import ModelConfig, SFTConfig

from pipelines.training.fine_tuning import load_bundle, load_training_tokenizer
from pipelines.training.starting_point import starting_point
from tests.planted_faults.sample_rows import Row, as_messages, code_rows, conversations, preferences, rows_in
from tests.twins.runs import TwinRuns, keys_of

_N_CHARACTERS = 2000  # of a module, enough for a document


class ShippedRecipes(TwinRuns):
    """Twins without runs: an adapter that a recipe goes on from is untrained, and the rows are clean."""

    def flags(self, recipe: Path) -> list[str]:
        """The recipe's flags, with everything of the outside replaced by its twin."""
        changed = {**self._overrides(recipe), "output_dir": str(self.folder / "run"), "report_to": "none"}
        if recipe.parent.name == "pretrain":  # there are less documents than a stream holds out
            changed["n_validation_documents"] = 16
        else:  # a few steps of few rows
            changed |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
        if keys_of(recipe).get("num_train_epochs", 1) < 1:  # of a set of thousands of rows
            changed |= {"num_train_epochs": 1, "eval_steps": 10}
        words = [word for key, value in changed.items() for word in (f"--{key}", _as_word(value))]
        return ["--config", str(recipe), *words]

    def _dataset(self, name: str) -> Path:
        folder = super()._dataset(name)
        if name == "a text file of one's own":
            return folder
        train, held_out = _clean_rows(name)
        for path in folder.glob("*.jsonl"):
            rows = train if path.stem == "train" else held_out
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder

    def _run(self, recipe: Path) -> Path:
        """What an SFT run of `recipe` leaves, but for the training."""
        folder, keys = self.folder / "adapters" / recipe.parents[1].name, keys_of(recipe)
        base = self.model(keys["model_name_or_path"])
        arguments = ModelConfig(model_name_or_path=str(base), use_peft=True, lora_r=keys["lora_r"])
        training = SFTConfig(use_cpu=True, bf16=False)
        start = starting_point(arguments, None)
        tokenizer, new_tokens = load_training_tokenizer(start, training, conversational=True)
        bundle = load_bundle(start, arguments, training, tokenizer, new_tokens)
        assert bundle.lora is not None
        get_peft_model(bundle.model, bundle.lora).save_pretrained(folder, save_embedding_layers=False)
        tokenizer.save_pretrained(folder)
        return folder


def _clean_rows(name: str) -> tuple[list[Row], list[Row]]:
    """Rows to train on and to hold out, in the columns of the Hub set `name`."""
    english = rows_in("english")
    if "Capybara" in name:
        rows = conversations(english, 2)
    elif "ultrafeedback" in name:
        rows = [
            {kind: as_messages({"instruction": row["prompt"], "output": row[kind]}) for kind in ("chosen", "rejected")}
            for row in preferences(english)
        ]
    elif "code-dataset" in name or "instructions" in name:
        rows = code_rows(max_characters=600)
    elif "codeparrot" in name:
        rows = [{"content": text} for text in _modules()[::2]]
    else:
        rows = [{"text": text} for text in _modules()[1::2]]  # others, since a recipe mixes both
    return rows[: -len(rows) // 8], rows[-len(rows) // 8 :]


@cache
def _modules() -> tuple[str, ...]:
    """The standard library's modules, from behind their opening comments: documents of which no two are alike."""
    library = Path(sysconfig.get_paths()["stdlib"])
    left_out = ("test", "encodings", "idlelib", "site-packages", "lib2to3", "config-", "turtledemo")
    paths: Iterable[Path] = sorted(library.rglob("*.py"))
    chosen = [path for path in paths if not any(part in str(path.relative_to(library)) for part in left_out)]
    texts = [_behind_comments(path.read_text(encoding="utf-8", errors="ignore")) for path in chosen]
    return tuple(dict.fromkeys(text[:_N_CHARACTERS] for text in texts if len(text) > 500))


def _behind_comments(text: str) -> str:
    lines = text.split("\n")
    first = next((place for place, line in enumerate(lines) if line and not line.startswith("#")), len(lines))
    return "\n".join(lines[first:])


def _as_word(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | dict | bool) else str(value)
