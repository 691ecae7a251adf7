"""The snippet of a card is run as it stands, with the folder as the repository, and answers as the model does."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.model_card import model_card
from tests.report.sample_records import write_json

Written = tuple[Path, Any, Any]


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A run folder with a LoRA adapter that changes its base's answers; the model and its tokenizer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("card") / "my-adapter"
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)
    torch.manual_seed(0)
    model = get_peft_model(base, lora)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    model.save_pretrained(folder)
    base.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write_run(folder, template_sha256="12" * 32)
    return folder, model, tokenizer


def _write_run(folder: Path, **changed: Any) -> None:
    run = {"kind": "run", "program": "sft", "status": "finished", "base": {"path": "tiny", "fingerprint": "sha256:a"}}
    write_json(folder / "run.json", run | changed)


def _printed(card: str) -> str:
    """What the card's snippet prints."""
    snippet = card.split("```python\n")[1].split("\n```")[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(snippet, "README.md", "exec"), {})
    return printed.getvalue().removesuffix("\n")


def _answer(model: Any, tokenizer: Any, ids: Any) -> str:
    answer = model.generate(ids, max_new_tokens=200)[0, ids.shape[1] :]
    return str(tokenizer.decode(answer, skip_special_tokens=True))


def _asked(tokenizer: Any) -> Any:
    messages = [{"role": "user", "content": "What can you do?"}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=False)


def test_an_adapter_answers_as_it_was_saved(adapter: Written) -> None:
    folder, model, tokenizer = adapter
    card = model_card(folder, repo_id=str(folder))
    expected = _answer(model, tokenizer, _asked(tokenizer))
    assert _printed(card) == expected
    with model.disable_adapter():
        assert _answer(model, tokenizer, _asked(tokenizer)) != expected, "the adapter is what answers"


def test_a_full_model_answers_as_it_was_saved(tiny_model_folder: Path, adapter: Written, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model_folder), adapter[2]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    _write_run(tmp_path, template_sha256="12" * 32)
    assert _printed(model_card(tmp_path, repo_id=str(tmp_path))) == _answer(model, tokenizer, _asked(tokenizer))
    _write_run(tmp_path, program="pretrain", base=None)
    ids = tokenizer("What can you do?", return_tensors="pt").input_ids
    card = model_card(tmp_path, repo_id=str(tmp_path))
    assert "apply_chat_template" not in card
    assert _printed(card) == _answer(model, tokenizer, ids)


def test_the_revision_is_where_the_snippet_loads_from(adapter: Written) -> None:
    snippet = model_card(adapter[0], repo_id="me/it", revision="step-000100").split("```python\n")[1].split("\n```")[0]
    assert snippet.count('from_pretrained(name, revision="step-000100"') == 3
    assert f"name = {json.dumps('me/it')}" in snippet
