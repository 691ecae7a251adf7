import json
import math
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.perplexity import main
from tests.run_files import write_jsonl

ROWS = [
    {"instruction": "Write a Python function double(x).", "input": "", "output": "def double(x):\n    return 2 * x"},
    {"instruction": "Say it in German.", "input": "blue sky", "output": "blauer Himmel, größer"},
    {"instruction": "Count.", "input": "", "output": "one two three " * 30},
]


@pytest.fixture(scope="module")
def adapter(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes the tiny model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("runs") / "adapter"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(folder)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", ROWS)


def test_base_and_adapter_are_measured_on_the_same_bytes(run_cli, tiny_model_folder, adapter, dataset, tmp_path):
    output = tmp_path / "out" / "perplexity.json"
    base = ("--model_name_or_path", tiny_model_folder)
    done = run_cli(
        "pipelines/perplexity.py", *base, *base, "--adapter", adapter, "--dataset", dataset,
        "--scope", "text", "--scope", "response", "--window", "64", "--stride", "16", "--output", output,
    )  # fmt: skip
    record = json.loads(output.read_text())
    results = record["results"]
    assert [(one["model"], one["scope"], one["prompt_style"]) for one in results] == [
        ("tiny", "text", None), ("tiny", "response", "plain"), ("tiny", "response", "chat"), ("adapter", "text", None),
        ("adapter", "response", "chat"),
    ]  # fmt: skip
    assert {one["n_bytes"] for one in results} == {sum(len(row["output"].encode()) for row in ROWS)}
    assert results[0]["nll_nats"] != results[3]["nll_nats"]
    for one in results:
        assert one["perplexity"] == pytest.approx(math.exp(one["nll_nats"] / one["n_tokens"]))
        assert one["bits_per_byte"] == pytest.approx(one["nll_nats"] / math.log(2) / one["n_bytes"])
        assert one["ci95"]["perplexity"][0] <= one["perplexity"] <= one["ci95"]["perplexity"][1]
    differences = record["differences"]
    assert [one["against_prompt_style"] for one in differences] == [None, "plain", "chat"]
    assert differences[0]["bits_per_byte"]["value"] == pytest.approx(
        results[3]["bits_per_byte"] - results[0]["bits_per_byte"]
    )
    assert [record[key] for key in ("kind", "window", "stride")] == ["perplexity", 64, 16]
    assert record["dataset"]["n_documents"] == 3
    assert "adapter (chat) minus tiny" in done.stdout
    assert str(output) in done.stdout.splitlines()[-1]


def test_two_processes_give_the_record_of_one(tiny_model_folder, adapter, tmp_path, run_cli):
    rows = [{**row, "source": "ab"[number % 2]} for number, row in enumerate(ROWS * 3)]
    dataset = write_jsonl(tmp_path / "rows.jsonl", rows)
    arguments = (
        "--model_name_or_path", tiny_model_folder, "--adapter", adapter, "--model_name_or_path", tiny_model_folder,
        "--dataset", dataset, "--scope", "text", "--scope", "response", "--by_source", "--batch_size", "2",
        "--window", "64", "--output",
    )  # fmt: skip
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    main([*map(str, arguments), str(one)])
    done = run_cli("pipelines/perplexity.py", *arguments, two, n_processes=2)
    records = [json.loads(path.read_text()) for path in (one, two)]
    assert [record.pop("n_processes") for record in records] == [1, 2]
    assert records[0] == records[1], "the batches are the same, so the figures are, to the last bit"
    assert len(records[0]["results"]) == 3 * 5
    assert done.stdout.count("record written") == done.stderr.count("measuring tiny") == 1


def test_figures_of_a_text_file_name_their_condition_and_their_windows(tiny_model_folder, tmp_path, capsys):
    text, output = tmp_path / "text.txt", tmp_path / "out.json"
    text.write_text("return max(numbers)\n\n" * 40)
    main(["--model_name_or_path", str(tiny_model_folder), "--dataset", str(text), "--output", str(output),
          "--window", "65", "--stride", "64", "--dtype", "float64"])  # fmt: skip
    record = json.loads(output.read_text())
    assert record["condition"] == {"tiny": {"token": "<|endoftext|>"}}
    assert (record["dataset"]["text_documents"], record["dataset"]["n_documents"]) == ("file", 40)
    assert (record["window"], record["stride"], record["results"][0]["n_bytes"]) == (65, 64, len(text.read_bytes()))
    assert "tiny: the first token of a document was conditioned on <|endoftext|>" in capsys.readouterr().out


@pytest.mark.parametrize(("flags", "message"), [
    (["--adapter", "a", "--model_name_or_path", "m"], "--adapter a without a --model_name_or_path of its own"),
    (["--model_name_or_path", "m", "--adapter", "a", "--adapter", "b"], "--adapter b without a"),
    ([], "--model_name_or_path is missing"),
    (["--model_name_or_path", "m", "--batch_size", "0"], "'0' is not a whole number above 0"),
    (["--model_name_or_path", "m", "--scope", "prompt"], "invalid choice: 'prompt'"),
    (["--model_name_or_path", "no/such/model"], "there is no folder no/such/model"),
    (["--model_name_or_path", "{tiny}", "--window", "1000"], "the window is 1000 tokens, expected 2 to 257"),
    (["--model_name_or_path", "{tiny}", "--window", "8", "--stride", "8"], "the stride is 8 tokens, expected"),
    (["--model_name_or_path", "{tiny}", "--limit", "1"], "has 1 document with text, expected two or more"),
    (["--model_name_or_path", "{tiny}", "--output", "{rows}"], r"rows\.jsonl exists; choose another"),
])  # fmt: skip
def test_wrong_flags_are_refused(tiny_model_folder, dataset, tmp_path, flags, message):
    output = tmp_path / "perplexity.json"
    given, before = [flag.format(tiny=tiny_model_folder, rows=dataset) for flag in flags], dataset.read_text()
    with pytest.raises(UserError, match=message):
        main(["--dataset", str(dataset), "--output", str(output), *given])
    assert not output.exists()
    assert dataset.read_text() == before
