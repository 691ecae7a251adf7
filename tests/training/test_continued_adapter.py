"""sft.py --adapter_name_or_path: an adapter is trained further on other rows, with its own tokenizer and shape."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines import sft
from pipelines.errors import UserError
from pipelines.hub.model_ref import model_fingerprint
from tests.training.test_fine_tuning import KEYS, LORA, ROWS, bare_base

SHAPES = {"lora": "", "dora": "--use_dora", "rslora": "--use_rslora --lora_r 4", "qlora": "--load_in_4bit"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_base(tmp_path_factory.mktemp("base") / "untied", tied=False)


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(rows_file: Path, folder: Path, more: str) -> dict[str, Any]:
    sft.main(["--dataset_name", str(rows_file), "--output_dir", str(folder), *KEYS.split(), *more.split()])
    return dict(json.loads((folder / "run.json").read_text()))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_adapter_goes_on_from_its_own_weights_and_keeps_its_shape(
    base: Path, rows_file: Path, tmp_path: Path, shape: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run(rows_file, first, f"--model_name_or_path {base} {LORA} {SHAPES[shape]} --max_steps 8")
    quantized = "--load_in_4bit" if shape == "qlora" else ""
    record = run(rows_file, second, f"--adapter_name_or_path {first} --max_steps 1 --learning_rate 1e-4 {quantized}")
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (first, second))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    # one step of Adam moves a weight by the learning rate at most: these are the first run's weights, not new ones
    assert max(float((before[name] - after[name]).abs().max()) for name in before) <= 1.01e-4
    assert any("token_adapter" in name or "trainable_tokens" in name for name in after)
    configs = [json.loads((folder / "adapter_config.json").read_text()) for folder in (first, second)]
    shapes = [[one[key] for key in ("r", "lora_alpha", "use_dora", "use_rslora")] for one in configs]
    assert shapes[0] == shapes[1]
    assert set(configs[0]["target_modules"]) == set(configs[1]["target_modules"])
    assert (first / "chat_template.jinja").read_text() == (second / "chat_template.jinja").read_text()
    assert record["adapter"]["fingerprint"] == model_fingerprint(str(first))
    assert record["base"]["path"] == str(base)
    lock = json.loads((second / "lock.json").read_text())
    assert lock["adapter"]["fingerprint"] == record["adapter"]["fingerprint"]


def test_the_first_loss_is_that_of_the_adapter_and_not_of_the_base(base: Path, rows_file: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    run(rows_file, first, f"--model_name_or_path {base} {LORA} --max_steps 30")
    run(rows_file, tmp_path / "second", f"--adapter_name_or_path {first} --max_steps 1")
    assert losses_of(tmp_path / "second")[0] < (losses_of(first)[0] + losses_of(first)[-1]) / 2


def losses_of(folder: Path) -> list[float]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("--lora_r 64", "the recipe has lora_r: 64, the adapter"),
        ("--use_dora --lora_target_modules q_proj", "has use_dora: True, lora_target_modules: "),
        ("--chat_template_path {template}", "tokens <|user|>"),
        ("--model_name_or_path {other}", "was trained on"),
    ],
)
def test_what_the_adapter_contradicts_is_refused_by_name(
    base: Path, rows_file: Path, tmp_path: Path, more: str, complaint: str
) -> None:
    first, template = tmp_path / "first", tmp_path / "other.jinja"
    run(rows_file, first, f"--model_name_or_path {base} {LORA} --max_steps 1")
    template.write_text(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    other = bare_base(tmp_path / "other", tied=True)
    more = more.format(template=template, other=other)
    with pytest.raises(UserError) as caught:
        run(rows_file, tmp_path / "second", f"--adapter_name_or_path {first} --doctor off {more}")
    assert complaint in str(caught.value)
    assert not (tmp_path / "second").exists()
