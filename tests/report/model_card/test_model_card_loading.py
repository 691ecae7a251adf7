"""The snippet of a card is run as it stands, with the folder as the repository, and answers as the model does."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.model_card.writing import model_card
from tests.report.samples.sample_records import write_json

Written = tuple[Path, Any, Any]


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A run folder with a LoRA adapter that changes its base's answers; the model and its tokenizer."""
    return _written(tiny_model_folder, tmp_path_factory.mktemp("card") / "my-adapter")


def _written(base_folder: Path, folder: Path, n_new_tokens: int = 0, **changed: Any) -> Written:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, tokenizer = AutoModelForCausalLM.from_pretrained(base_folder), AutoTokenizer.from_pretrained(base_folder)
    torch.manual_seed(0)
    if n_new_tokens:
        tokenizer.add_tokens([f"<|new_{number}|>" for number in range(n_new_tokens)])
        base.resize_token_embeddings(len(tokenizer))
        changed["trainable_token_indices"] = [len(tokenizer) - 1]
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False, **changed)
    model = get_peft_model(base, lora)
    with torch.no_grad():  # a DoRA adapter that was trained has magnitudes of its own
        for name, weight in model.named_parameters():
            if "magnitude" in name:
                weight.mul_(1.5)
    model.save_pretrained(folder, save_embedding_layers=False)
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


def test_an_adapter_answers_as_it_was_saved(adapter):
    folder, model, tokenizer = adapter
    card = model_card(folder, repo_id=str(folder))
    expected = _answer(model, tokenizer, _asked(tokenizer))
    assert _printed(card) == expected
    with model.disable_adapter():
        assert _answer(model, tokenizer, _asked(tokenizer)) != expected, "the adapter is what answers"


@pytest.mark.parametrize(
    ("kind", "n_new_tokens", "why"),
    [
        ({}, 0, ""),
        ({"use_rslora": True}, 0, ""),
        ({"modules_to_save": ["lm_head"]}, 0, ""),
        ({"use_dora": True}, 0, "transformers drops DoRA's magnitudes"),
        ({}, 3, "transformers does not grow the embeddings"),
    ],
    ids=["lora", "rslora", "modules_to_save", "dora", "new_tokens"],
)
def test_a_card_warns_of_transformers_where_it_loads_another_model(
    tiny_model_folder, tmp_path, kind, n_new_tokens, why
):
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    folder, model, tokenizer = _written(tiny_model_folder, tmp_path / "kind", n_new_tokens, **kind)
    ids = torch.tensor([[1, 2, len(tokenizer) - 1]])
    logits = model.eval()(ids).logits
    torch.testing.assert_close(AutoPeftModelForCausalLM.from_pretrained(folder).eval()(ids).logits, logits)
    try:
        by_transformers = AutoModelForCausalLM.from_pretrained(folder).eval()(ids).logits
        is_same = torch.allclose(by_transformers, logits, atol=1e-5)
    except IndexError:  # an embedding that is not there
        is_same = False
    assert is_same == (not why)
    card = model_card(folder, repo_id=str(folder))
    assert _printed(card) == _answer(model, tokenizer, _asked(tokenizer))
    assert ("Load it with PEFT, as above, and not with `AutoModelForCausalLM`" in card) == bool(why)
    assert why in card
    assert ("\n- transformers\n" in card) == (not why)
    command = f"vllm serve tiny --tokenizer {folder} --generation-config {folder} --enable-lora"
    assert (command in card) == (not n_new_tokens and not {"use_dora", "modules_to_save"} & kind.keys())


def test_a_full_model_answers_as_it_was_saved(tiny_model_folder, adapter, tmp_path):
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


def test_the_revision_is_where_the_snippet_loads_from(adapter):
    snippet = model_card(adapter[0], repo_id="me/it", revision="step-000100").split("```python\n")[1].split("\n```")[0]
    assert snippet.count('from_pretrained(name, revision="step-000100"') == 3
    assert f"name = {json.dumps('me/it')}" in snippet
