"""sft.py --adapter_name_or_path: an adapter is trained further on other rows, with its own tokenizer and shape."""

from pathlib import Path

import pytest
import torch

from pipelines.errors import UserError
from pipelines.hub.model_ref import model_fingerprint
from tests.run_files import adapter_weights, read_json
from tests.training.sft_runs import LORA, bare_base

SHAPES = {"lora": "", "dora": "--use_dora", "rslora": "--use_rslora --lora_r 4", "qlora": "--load_in_4bit"}


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_base(tmp_path_factory.mktemp("base") / "untied", tied=False)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_adapter_goes_on_and_keeps_its_shape(untied, run_sft, tmp_path, shape):
    first, second = tmp_path / "first", tmp_path / "second"
    run_sft(first, f"--model_name_or_path {untied} {LORA} {SHAPES[shape]} --max_steps 8")
    quantized = "--load_in_4bit" if shape == "qlora" else ""
    record = run_sft(second, f"--adapter_name_or_path {first} --max_steps 1 --learning_rate 1e-4 {quantized}")
    before, after = map(adapter_weights, (first, second))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    # one step of Adam moves a weight by the learning rate at most: these are the first run's weights, not new ones
    assert max(float((before[name] - after[name]).abs().max()) for name in before) <= 1.01e-4
    assert any("token_adapter" in name or "trainable_tokens" in name for name in after)
    configs = [read_json(folder / "adapter_config.json") for folder in (first, second)]
    shapes = [[one[key] for key in ("r", "lora_alpha", "use_dora", "use_rslora")] for one in configs]
    assert shapes[0] == shapes[1]
    assert set(configs[0]["target_modules"]) == set(configs[1]["target_modules"])
    assert (first / "chat_template.jinja").read_text() == (second / "chat_template.jinja").read_text()
    assert record["adapter"]["fingerprint"] == model_fingerprint(str(first))
    assert record["base"]["path"] == str(untied)
    assert read_json(second / "lock.json")["adapter"]["fingerprint"] == record["adapter"]["fingerprint"]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("--lora_r 64", "the recipe has lora_r: 64, the adapter"),
        ("--use_dora --lora_target_modules q_proj", "has use_dora: True, lora_target_modules: "),
        ("--chat_template_path {template}", "tokens <|user|>"),
        ("--model_name_or_path {other}", "was trained on"),
    ],
)
def test_contradictions_are_refused(untied, run_sft, tmp_path, more, complaint):
    first, template, other = tmp_path / "first", tmp_path / "other.jinja", tmp_path / "other"
    run_sft(first, f"--model_name_or_path {untied} {LORA} --max_steps 1")
    template.write_text(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    more = more.format(template=template, other=bare_base(other, tied=True))
    with pytest.raises(UserError) as caught:
        run_sft(tmp_path / "second", f"--adapter_name_or_path {first} --doctor off {more}")
    assert complaint in str(caught.value)
    assert not (tmp_path / "second").exists()
