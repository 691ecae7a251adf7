"""Against a real `transformers serve`, which tells texts, ends and numbers of tokens, and no log-probabilities."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines import check_served
from pipelines.errors import AnswerIsNo, UserError
from tests.served.taught import OTHER_SPLIT, Taught, change_template, with_split, without_module


def check(url: str, model: Path, taught: Taught, tmp_path: Path, capsys: pytest.CaptureFixture[str], **changes: Path):
    """The record, and what was printed; asserts that the exit code fits."""
    record = tmp_path / "served.json"
    run = changes.get("run", taught.merged)
    asked = ["--url", url, "--model", str(model), "--run", str(run), "--prompts", str(taught.prompts)]
    try:
        check_served.main([*asked, "--max_new_tokens", "24", "--limit", "12", "--output", str(record)])
        said = ""
    except AnswerIsNo as error:
        said = str(error)
    found = json.loads(record.read_text())
    assert found["same"] == (said == "")
    return found, capsys.readouterr().out


def causes(record) -> list[str]:
    return [one["cause"] for one in record["findings"]]


def test_the_merged_model_is_the_trained_adapter(transformers_url, taught, tmp_path, capsys):
    record, page = check(transformers_url, taught.merged, taught, tmp_path, capsys, run=taught.adapter)
    assert (record["engine"], record["same"], causes(record)) == ("transformers serve", True, [])
    assert {one["name"]: (one["n_equal"], one["n"]) for one in record["checks"]} == {
        "prompt tokens": (12, 12), "numbers of tokens of texts": (200, 200), "greedy answers": (12, 12),
        "and their ends": (12, 12),
    }  # fmt: skip
    assert "same: the endpoint serves the trained model" in page


def test_the_base_in_place_of_the_adapter(transformers_url, taught, tmp_path, capsys):
    record, page = check(transformers_url, taught.base, taught, tmp_path, capsys)
    assert causes(record) == ["adapter not applied"]
    assert record["as_base"] == {"n": 12, "n_equal": 12}
    assert "answers as the base does: 12 of 12" in page


def test_a_base_without_a_template_in_place_of_the_adapter(transformers_url, taught, tmp_path, capsys):
    served = Path(shutil.copytree(taught.base, tmp_path / "copy"))
    (served / "chat_template.jinja").unlink()
    record, page = check(transformers_url, served, taught, tmp_path, capsys)
    assert causes(record) == ["template", "adapter not applied"]
    assert "the endpoint answers no chat" in page


def test_another_template(transformers_url, taught, tmp_path, capsys):
    served = Path(shutil.copytree(taught.merged, tmp_path / "copy"))
    change_template(served, lambda text: "{{- '<|im_start|>system\\nBe brief.<|im_end|>\\n' -}}" + text)
    record, _ = check(transformers_url, served, taught, tmp_path, capsys)
    assert causes(record) == ["template"]
    assert {one["name"]: one["n_equal"] for one in record["checks"]}["greedy answers"] == 12  # on the trained prompts


def test_another_template_of_as_many_tokens(transformers_url, taught, tmp_path, capsys):
    served = Path(shutil.copytree(taught.merged, tmp_path / "copy"))
    change_template(served, lambda text: text.replace("['content'] + '<", "['content'].replace('red', 'blue') + '<"))
    record, _ = check(transformers_url, served, taught, tmp_path, capsys)
    assert record["checks"][0]["n_equal"] == 12
    assert causes(record) == ["template"]


def test_another_pre_tokenizer(transformers_url, taught, tmp_path, capsys):
    served = Path(shutil.copytree(taught.merged, tmp_path / "copy"))
    with_split(served, OTHER_SPLIT)
    record, page = check(transformers_url, served, taught, tmp_path, capsys)
    assert causes(record) == ["tokenizer"]
    assert "'def f(x):\\n y" in page or "tokens when trained" in page


def test_a_missing_end_token(transformers_url, taught, tmp_path, capsys):
    served = Path(shutil.copytree(taught.merged, tmp_path / "copy"))
    file = served / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": 0}))
    record, page = check(transformers_url, served, taught, tmp_path, capsys)
    assert causes(record) == ["end token"]
    assert "finish_reason 'length'" in page


def test_an_adapter_with_one_module_left_out(transformers_url, taught, tmp_path, capsys):
    served = without_module(taught, "down_proj", tmp_path)
    record, _ = check(transformers_url, served, taught, tmp_path, capsys)
    assert causes(record) == ["weights"]


def test_wrong_use_is_refused_before_the_stack_is_imported(transformers_url, taught, tmp_path):
    with pytest.raises(UserError, match=r"no server answers at http://127\.0\.0\.1:1/v1"):
        check_served.main(["--url", "http://127.0.0.1:1/v1", "--run", str(taught.merged)])
    with pytest.raises(UserError, match=r"config\.json"):
        check_served.main(["--url", transformers_url, "--run", str(tmp_path)])
    with pytest.raises(UserError, match="is a base model") as refused:
        check_served.main(["--url", transformers_url, "--run", str(taught.base)])
    assert "name the run folder of sft.py or dpo.py, or the folder that merge.py wrote" in str(refused.value)
