"""Special tokens of the base's own template whose rows were never trained, and those that were."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.modeling import CHATML, load_tokenizer
from pipelines.modeling.chat_template import token_id_of
from pipelines.preflight.checks.tokens.untrained_marks import CHECKS
from pipelines.preflight.embedding_rows import table_in_files
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, findings_by_id, rows_of
from tests.twins.models import save_twin

MARKS = ("<|im_start|>", "<|im_end|>")
Change = Callable[[torch.Tensor, list[int]], Any]
found = partial(findings_by_id, CHECKS)


def changed_base(base: Path, folder: Path, change: Change, *tables: str) -> Path:
    """A copy of `base` with the rows of ChatML's tokens changed in `tables`."""
    copy = Path(shutil.copytree(base, folder / "changed"))
    tokenizer = load_tokenizer(str(copy))
    weights = load_file(copy / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(tables or ("embed_tokens.weight", "lm_head.weight")):
            change(weight, [token_id_of(tokenizer, mark) for mark in MARKS])
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    return copy


def zero(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids] = 0


def mean(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids] = weight.mean(0) + 1e-5


def equal(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids[1]] = weight[ids[0]] * 1.001


def close(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids[1]] = weight[ids[0]] * 1.05


@pytest.mark.parametrize(
    ("change", "like", "severity"),
    [(zero, "zero", Severity.ERROR), (mean, "the mean of all rows", Severity.ERROR),
     (equal, "that of <|im_end|>", Severity.ERROR), (close, "that of <|im_end|>", Severity.WARNING)],
)  # fmt: skip
def test_rows_without_a_value_of_their_own_are_found(bases, tmp_path, change, like, severity):
    base = changed_base(bases["qwen"], tmp_path, change)
    finding = found(context_of(tmp_path, base, rows_of(4)))["ADDED_TOKENS_UNTRAINED"]
    assert finding.severity is severity
    assert f"<|im_start|>: its row of model.embed_tokens is {like}" in finding.evidence[0].text
    assert finding.remedy == "set lora_modules_to_save: [embed_tokens, lm_head]"


def test_runs_that_train_these_rows_give_nothing(bases, tmp_path):
    base = changed_base(bases["qwen"], tmp_path, zero)
    (tmp_path / "other.jinja").write_text(CHATML + "{# mine #}")
    for keys in (
        {"use_peft": False}, {"lora_modules_to_save": ["embed_tokens", "lm_head"]},
        {"chat_template_path": str(tmp_path / "other.jinja")},
    ):  # fmt: skip
        assert found(context_of(tmp_path, base, rows_of(4), **keys)) == {}
    assert found(context_of(tmp_path, base, [{"text": row["output"]} for row in rows_of(4)])) == {}


def test_trained_rows_give_nothing(bases, tmp_path):
    assert found(context_of(tmp_path, bases["qwen"], rows_of(4))) == {}
    assert found(context_of(tmp_path, bases["llama3"], rows_of(4))) == {}


def test_the_head_of_an_untied_base_is_compared_too(tmp_path):
    base = save_twin("llama-3.1-8b", tmp_path / "untied", Path("absent"))
    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"][token_id_of(load_tokenizer(str(base)), "<|eot_id|>")] = 0
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    from trl.chat_template_utils import llama3_training_chat_template

    (base / "chat_template.jinja").write_text(llama3_training_chat_template)
    finding = found(context_of(tmp_path, base, rows_of(4)))["ADDED_TOKENS_UNTRAINED"]
    assert [one.text.split(":")[1] for one in finding.evidence] == [
        " its row of lm_head is zero (distance 0.0% of the usual)"
    ]


def test_a_base_without_weights_gives_nothing(bases, tmp_path):
    base = Path(shutil.copytree(bases["qwen"], tmp_path / "bare"))
    (base / "model.safetensors").unlink()
    assert found(context_of(tmp_path, base, rows_of(4))) == {}
    (base / "model.safetensors").write_bytes(b"cut off")
    assert found(context_of(tmp_path, base, rows_of(4))) == {}


def test_rows_are_read_from_several_files(bases, tmp_path):
    weights = load_file(bases["gpt2"] / "model.safetensors")
    places = {name: f"model-0000{1 + ('wte' in name)}-of-00002.safetensors" for name in weights}
    for file in set(places.values()):
        save_file({name: weights[name] for name in weights if places[name] == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    table = table_in_files(str(tmp_path), None, "transformer.wte")
    assert table is not None
    whole = next(weight for name, weight in weights.items() if name.endswith("wte.weight"))
    assert torch.equal(table.rows([3, 7]), whole[[3, 7]])
    assert torch.equal(table.spread_rows(300)[:32], whole[:32])
    (tmp_path / places[next(name for name in places if "wte" in name)]).unlink()
    assert table_in_files(str(tmp_path), None, "transformer.wte") is None
