"""What is cut, dropped, joined or longer than the model is told before a run, and nothing of it about clean rows."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.thresholds import threshold_findings
from pipelines.preflight.checks.tokens.length import CHECKS
from pipelines.recipe.arguments import DataArguments, PreferenceArguments
from pipelines.records.finding import Severity
from pipelines.training.data.ledger import Ledger, RowFate
from tests.preflight.contexts import base_of, context_of, findings_by_id, pairs_of, pretraining_context, rows_of
from tests.twins.models import save_twin_tokenizer

found = partial(findings_by_id, CHECKS)


def rows_with_long_answers(n: int, n_long: int, n_characters: int = 1500) -> list[dict[str, str]]:
    rows = rows_of(n)
    return [
        {**row, "output": (row["output"] + " ") * (n_characters // len(row["output"]))} if i < n_long else row
        for i, row in enumerate(rows)
    ]


def rows_with_long_prompts(n: int, n_long: int) -> list[dict[str, str]]:
    rows = rows_of(n)
    return [{**row, "instruction": row["instruction"] * 12} if i < n_long else row for i, row in enumerate(rows)]


def some_pairs(n: int, n_long: int = 0) -> list[dict[str, str]]:
    return pairs_of(rows_of(n)[:n_long], "No. " * 400) + pairs_of(rows_of(n)[n_long:], "No. No. ")


def pretraining_case(folder: Path, texts: str, **keys: Any) -> CheckContext:
    folder.mkdir(exist_ok=True)
    (folder / "input.txt").write_text(texts)
    new = {"model_type": "llama", "model_config": {
        "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
        "max_position_embeddings": 256}}  # fmt: skip
    tokenizer = save_twin_tokenizer("qwen", folder / "tokenizer")
    model = {} if "model_name_or_path" in keys else new
    written = {"dataset_name": folder / "input.txt", "max_steps": 100, "tokenizer_name_or_path": tokenizer, **keys}
    return pretraining_context(folder, **model, **written)


CORPUS = "".join(f"Line {i} of a book about numbers.\n" for i in range(300))


@pytest.mark.parametrize(
    "keys",
    [{}, {"long_rows": "truncate_prompt"}, {"long_rows": "keep_end_token"}, {"packing": True}, {"packing": True,
     "packing_strategy": "bfd_split"}, {"max_length": None}, {"max_length": 4096}, {"eval_packing": True}],
)  # fmt: skip
def test_clean_rows_give_nothing(keys, qwen, tmp_path):
    rows = rows_with_long_answers(200, 1, 600)
    assert not found(context_of(tmp_path, qwen, rows, **{"max_length": 512, **keys}))


def test_clean_pairs_and_a_clean_corpus_give_nothing(qwen, tmp_path):
    assert not found(context_of(tmp_path / "dpo", qwen, some_pairs(40), stage=Stage.DPO))
    assert not found(pretraining_case(tmp_path / "text", CORPUS, max_length=128))


def test_more_cut_answers_than_allowed_are_an_error(qwen, tmp_path):
    rows = rows_with_long_answers(60, 6)
    context = context_of(tmp_path, qwen, rows, long_rows="keep_end_token")
    finding = found(context)["ANSWERS_CUT"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 6)
    assert finding.summary.startswith("the answers of 6 of 60 rows (10.0%)")
    length = int(finding.remedy.split("max_length: ")[1].split()[0])
    assert length % 64 == 0
    assert not found(context_of(tmp_path / "mended", qwen, rows, long_rows="keep_end_token", max_length=length))
    assert "max_answer_cut_share: 0.1 " in finding.remedy
    assert not found(
        context_of(tmp_path / "meant", qwen, rows, long_rows="keep_end_token", max_answer_cut_share=0.1)
    ).keys() - {"TOKENS_DROPPED"}
    assert finding.evidence[0].row == 0
    assert finding.evidence[0].tokens[-1].text == "<|im_end|>\n" or finding.evidence[0].tokens[-1].trained


def test_more_dropped_rows_than_allowed_are_an_error_with_the_length_that_keeps_them(qwen, tmp_path):
    rows = rows_with_long_answers(60, 9)
    finding = found(context_of(tmp_path, qwen, rows))["ROWS_DROPPED"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 9)
    assert "9 of 60 rows (15.0%) are dropped: 9 longer_than_max_length" in finding.summary
    assert "max_dropped_share: 0.15 " in finding.remedy
    length = int(finding.remedy.split("max_length: ")[1].split()[0])
    assert not found(context_of(tmp_path / "mended", qwen, rows, max_length=length))


def test_dropped_pairs_are_measured_by_their_longer_answer(qwen, tmp_path):
    rows = some_pairs(20, 4)
    finding = found(context_of(tmp_path, qwen, rows, stage=Stage.DPO))["ROWS_DROPPED"]
    length = int(finding.remedy.split("max_length: ")[1].split(",")[0])
    assert length < 2000
    assert not found(context_of(tmp_path / "mended", qwen, rows, stage=Stage.DPO, max_length=length))


def test_rows_that_are_dropped_for_what_they_say_have_another_remedy(qwen, tmp_path):
    rows = [{**row, "output": "" if i < 5 else row["output"]} for i, row in enumerate(rows_of(20))]
    finding = found(context_of(tmp_path, qwen, rows))["ROWS_DROPPED"]
    assert "5 empty_output" in finding.summary
    assert finding.remedy.startswith("remove the rows without an answer")


def test_a_length_is_not_suggested_beyond_the_models_positions(gpt2, tmp_path):
    finding = found(context_of(tmp_path, gpt2, rows_with_long_answers(20, 8, 3000)))["ROWS_DROPPED"]
    assert finding.remedy.startswith("set long_rows: split")


def test_the_gates_work_on_a_ledger_alone():
    ledger = Ledger()
    for row in range(20):
        ledger.drop(row, 3000 + row, "longer_than_max_length")
    for row in range(20, 24):
        ledger.enter(row, RowFate.ANSWER_CUT, None, 1024, 900, 500, 1)
    for _ in range(76):
        ledger.enter(0, RowFate.KEPT, None, 100, 50, 0, 1)
    cut, dropped = threshold_findings(ledger, DataArguments(dataset_name="x"))
    assert (cut.id, cut.n_rows, cut.severity) == ("ANSWERS_CUT", 4, Severity.ERROR)
    assert "set max_length: 1536 " in cut.remedy
    assert (dropped.id, dropped.n_rows, dropped.severity) == ("ROWS_DROPPED", 20, Severity.ERROR)
    assert "set max_length: 3072 " in dropped.remedy
    assert not threshold_findings(
        ledger, DataArguments(dataset_name="x", max_answer_cut_share=0.04, max_dropped_share=0.2)
    )
    assert not threshold_findings(Ledger(), DataArguments(dataset_name="x"))
    pairs = threshold_findings(ledger, PreferenceArguments(dataset_name="x"), n_total=1000)
    assert all("max_length: " not in finding.remedy for finding in pairs)
    assert "of 100 rows (a sample of 1000)" in pairs[0].summary


def test_rows_at_which_the_run_stops_are_no_dropped_ones(qwen, tmp_path):
    assert not found(context_of(tmp_path, qwen, rows_with_long_answers(20, 8), long_rows="error"))


def test_rows_that_the_template_refuses_are_left_to_the_checks_of_the_template(tmp_path):
    folder = base_of("qwen", tmp_path / "qwen")
    template = folder / "chat_template.jinja"
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    template.write_text(refusal + template.read_text())
    rows = [{**row, "system": "Be brief."} if i < 8 else row for i, row in enumerate(rows_of(20))]
    context = context_of(tmp_path, folder, rows)
    assert sum("template_refuses" in str(row.reason) for row in context.train.rows) == 8
    assert not found(context)
    both = [{**row, "output": ""} if i > 12 else row for i, row in enumerate(rows)]
    assert found(context_of(tmp_path / "both", folder, both)).keys() == {"ROWS_DROPPED"}


def test_few_rows_with_much_of_the_text_are_told(qwen, tmp_path):
    rows = rows_with_long_answers(60, 5, 3000)
    finding = found(context_of(tmp_path, qwen, rows))["TOKENS_DROPPED"]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 5)
    assert found(context_of(tmp_path / "mended", qwen, rows, max_length=4096)).keys() == set()


def test_many_cut_prompts_are_told(qwen, tmp_path):
    rows = rows_with_long_prompts(40, 4)
    finding = found(context_of(tmp_path, qwen, rows, long_rows="truncate_prompt", max_length=400))["PROMPTS_CUT"]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 4)
    few = rows_with_long_prompts(40, 2)
    assert not found(context_of(tmp_path / "few", qwen, few, long_rows="truncate_prompt", max_length=400))


def test_wrapped_packing_is_an_error_with_a_certain_fix(qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(20), packing=True, packing_strategy="wrapped")
    assert found(context)["PACKING_CONTAMINATES"].fix == {"packing_strategy": "bfd"}
    assert not found(context_of(tmp_path / "off", qwen, rows_of(20), packing_strategy="wrapped"))


def test_packing_for_a_model_without_position_ids_is_an_error(tmp_path):
    config = AutoConfig.for_model("bloom", vocab_size=400, hidden_size=64, n_layer=1, n_head=2)
    folder = base_of("qwen", tmp_path / "bloom")
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    context = context_of(tmp_path, folder, rows_of(20), packing=True, lora_target_modules=["query_key_value"])
    assert found(context)["PACKING_CONTAMINATES"].fix == {"packing": False}
    assert not found(context_of(tmp_path / "off", folder, rows_of(20)))
    pretraining = pretraining_case(tmp_path / "corpus", CORPUS, model_name_or_path=folder, max_length=128)
    assert found(pretraining)["PACKING_CONTAMINATES"].fix == {"respect_documents": False}


def test_packing_without_a_length_is_told_before_the_trainer_stops(qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(20), packing=True)
    context.training.max_length = None
    finding = found(context)["PACKING_LOSES_TOKENS"]
    assert finding.severity is Severity.ERROR
    assert "set max_length: " in finding.remedy


def test_a_corpus_whose_tail_is_large_is_told(tmp_path):
    n_tokens = pretraining_case(tmp_path / "whole", CORPUS, max_length=128).train.ledger.n_tokens
    context = pretraining_case(tmp_path / "tail", CORPUS, max_length=round(n_tokens / 1.5))
    finding = found(context)["PACKING_LOSES_TOKENS"]
    assert finding.severity is Severity.WARNING
    length = int(finding.remedy.split("max_length: ")[1].split(",")[0])
    assert not found(pretraining_case(tmp_path / "mended", CORPUS, max_length=length)).keys() - {
        "LONGER_THAN_POSITIONS"
    }


def test_a_row_beyond_a_table_of_positions_is_an_error(gpt2, qwen, tmp_path):
    rows = rows_with_long_answers(200, 1, 1500)
    finding = found(context_of(tmp_path, gpt2, rows, max_length=2048))["LONGER_THAN_POSITIONS"]
    assert (finding.severity, finding.n_rows, finding.fix) == (Severity.ERROR, 1, {"max_length": 1024})
    assert "index error" in finding.why
    held_out = context_of(tmp_path / "held", gpt2, rows_of(20), rows, max_length=2048)
    assert "1 of 200 held-out rows" in found(held_out)["LONGER_THAN_POSITIONS"].summary
    short = found(context_of(tmp_path / "short", gpt2, rows_of(20), max_length=2048))["LONGER_THAN_POSITIONS"]
    assert (short.severity, short.fix) == (Severity.NOTE, {"max_length": 1024})
    assert not found(context_of(tmp_path / "rotary", qwen, rows, max_length=2048))


def test_a_row_beyond_rotary_positions_is_a_warning(tmp_path):
    folder = base_of("qwen", tmp_path / "qwen")
    config = AutoConfig.from_pretrained(folder)
    config.max_position_embeddings = 1024
    config.save_pretrained(folder)
    rows = rows_with_long_answers(60, 1, 1500)
    assert (
        found(context_of(tmp_path, folder, rows, max_length=2048))["LONGER_THAN_POSITIONS"].severity is Severity.WARNING
    )


def test_blocks_longer_than_the_positions_are_an_error(tmp_path):
    finding = found(pretraining_case(tmp_path / "text", CORPUS, max_length=300))["LONGER_THAN_POSITIONS"]
    assert (finding.severity, finding.fix) == (Severity.ERROR, {"max_length": 256})


def test_evaluation_packed_otherwise_is_a_note(qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(20), rows_of(8, "held"), packing=True, eval_packing=False)
    assert found(context)["EVALUATION_PACKED_OTHERWISE"].severity is Severity.NOTE
    same = context_of(tmp_path / "same", qwen, rows_of(20), rows_of(8, "held"), packing=True, eval_packing=True)
    assert not found(same)
