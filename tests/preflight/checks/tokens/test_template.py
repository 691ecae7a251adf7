"""Templates that do not end, keep or serve what is trained, and nothing about templates that do."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.modeling import CHATML, load_tokenizer
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.tokens.template import CHECKS
from pipelines.records.finding import Severity
from tests.preflight.contexts import (
    base_of,
    context_of,
    findings_by_id,
    opened,
    pairs_of,
    pretraining_context,
    rows_of,
    write_jsonl,
)

_HEAD = "{%- for message in messages -%}"
_TAIL = "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
_TURN = "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"

Opened = Callable[..., CheckContext]


@pytest.fixture
def case_with(gpt2: Path, tmp_path: Path) -> Opened:
    """The case of rows under a template that is written between the loop's head and tail."""

    def make(rows: list[dict[str, Any]], turn: str, head: str = _HEAD, tail: str = _TAIL, **keys: Any) -> CheckContext:
        path = tmp_path / "template.jinja"
        path.write_text(head + turn + tail)
        return context_of(tmp_path, gpt2, rows, chat_template_path=str(path), **keys)

    return make


found = partial(findings_by_id, CHECKS)


def turns(*contents: str, system: str | None = None) -> dict[str, Any]:
    """A conversation: user and assistant by turns, after a system turn if there is one."""
    spoken = [{"role": ("user", "assistant")[i % 2], "content": one} for i, one in enumerate(contents)]
    return {"messages": [{"role": "system", "content": system}, *spoken] if system else spoken}


def conversations_of(n: int) -> list[dict[str, Any]]:
    return [
        turns(row["instruction"], row["output"], "And?", f"Then  came\n\n\tday {i}.", system=f"Be brief {i}." * (i % 2))
        for i, row in enumerate(rows_of(n))
    ]


@pytest.mark.parametrize("family", ["gpt2", "qwen", "llama3"])
def test_clean_rows_of_every_kind_give_nothing(family, tmp_path):
    base = base_of(family, tmp_path / family)
    plain = [{"text": row["output"]} for row in rows_of(30)]
    for rows in (rows_of(30), conversations_of(30), plain):
        assert found(context_of(tmp_path, base, rows)) == {}
    assert found(context_of(tmp_path, base, pairs_of(rows_of(20)), stage=Stage.DPO)) == {}


@pytest.mark.parametrize("policy", ["split", "keep_end_token", "truncate_prompt"])
def test_rows_that_were_made_to_fit_are_ended_all_the_same(policy, gpt2, tmp_path):
    rows = [{**row, "output": " ".join([row["output"]] * 4)} for row in rows_of(40)]
    context = context_of(tmp_path, gpt2, rows, long_rows=policy, max_length=150, max_dropped_share=1)
    assert {row.fate.value for row in context.train.rows} & {"split", "answer_cut", "dropped"}
    assert found(context) == {}


def test_turns_that_end_otherwise_are_found_and_few_of_them_only_warn(case_with):
    end = "{{- '<|im_end|>\\n' if 'day' not in message['content'] else '<|im_next|>\\n' -}}"
    turn = "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] -}}" + end
    rows = rows_of(40)
    for n_wrong, severity in ((20, Severity.ERROR), (2, Severity.WARNING)):
        context = case_with([{**row, "output": "day"} if i < n_wrong else row for i, row in enumerate(rows)], turn)
        finding = found(context)["END_TOKEN_NOT_TRAINED"]
        assert (finding.severity, finding.n_rows) == (severity, n_wrong)
        assert finding.evidence[0].text.startswith("turn_without_end_token: Write one sentence")


def test_an_end_token_that_the_tokenizer_splits_is_found(gpt2, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(gpt2, base)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "split_special_tokens": True}))
    finding = found(context_of(tmp_path, base, rows_of(5)))["END_TOKEN_NOT_TRAINED"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 5)
    assert "".join(token.text for token in finding.evidence[0].tokens).endswith("im_end|>")
    assert finding.evidence[0].tokens[-1].trained


def test_a_middle_turn_without_the_end_token_is_found(gpt2, tmp_path):
    context = context_of(tmp_path, gpt2, conversations_of(4))
    row = context.train.rows[2]
    [example] = row.examples
    end = example.labels[-1]
    labels = list(example.labels)
    labels[labels.index(end)] = -100  # as a template does whose marks leave the end of a turn out
    rows = (*context.train.rows[:2], replace(row, examples=(replace(example, labels=labels),)), context.train.rows[3])
    findings = found(replace(context, train=replace(context.train, rows=rows)))
    assert findings["END_TOKEN_NOT_TRAINED"].n_rows == 1
    assert findings["END_TOKEN_NOT_TRAINED"].evidence[0].row == 2


def test_a_base_that_stops_at_a_token_of_the_answers_is_found(gpt2, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(gpt2, base)
    [word] = load_tokenizer(str(gpt2))("t", add_special_tokens=False)["input_ids"]
    path = base / "generation_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "eos_token_id": [word]}))
    finding = found(context_of(tmp_path, base, rows_of(5)))["END_TOKEN_MISMATCH"]
    assert finding.severity is Severity.ERROR
    assert "stops generation at 't', which is inside the answers of 5 of 5 rows" in finding.summary
    assert any(token.token_id == word and token.trained for token in finding.evidence[0].tokens)


def documents(folder: Path, base: Path) -> CheckContext:
    corpus = write_jsonl(folder / "corpus.jsonl", (row["output"] for row in rows_of(30)))
    keys = {"max_length": 64, "max_steps": 2, "use_cpu": True}
    return pretraining_context(folder, model_name_or_path=base, dataset_name=corpus, **keys)


def test_documents_that_end_otherwise_than_the_base_stops_are_found(gpt2, tmp_path):
    assert found(documents(tmp_path, gpt2)) == {}
    base = tmp_path / "base"
    shutil.copytree(gpt2, base)
    tokenizer = load_tokenizer(str(gpt2))
    tokenizer.add_special_tokens({"eos_token": "<|stop|>"})
    tokenizer.save_pretrained(base)
    finding = found(documents(tmp_path, base))["END_TOKEN_MISMATCH"]
    assert finding.severity is Severity.WARNING
    assert "'<|stop|>'" in finding.summary
    assert "'<|endoftext|>'" in finding.summary


def test_a_prompt_that_is_served_otherwise_is_found_in_every_row(gpt2, tmp_path):
    context = context_of(tmp_path, gpt2, rows_of(80))
    served = load_tokenizer(str(gpt2))
    served.chat_template = CHATML.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant: '")
    served.add_special_tokens({"extra_special_tokens": list(context.new_tokens)})
    served.eos_token = "<|im_end|>"
    finding = found(replace(context, tokenizer=served))["TRAINING_PROMPT_NOT_SERVED"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 64)
    assert "<|im_start|>assistant: '" in finding.summary


def test_rows_whose_prompt_is_no_prefix_are_found(case_with):
    other = "message['role'] == 'assistant' and messages[0]['role'] == 'system'"
    turn = f"{{%- set name = 'model' if {other} else message['role'] -%}}" + _TURN.replace("message['role']", "name")
    rows = [turns("Hi.", f"Hello {i}.", system="Be kind." * (i < 3)) for i in range(10)]
    finding = found(case_with(rows, turn))["TRAINING_PROMPT_NOT_SERVED"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 3)
    [finding] = found(case_with(rows, turn, max_dropped_share=0.5)).values()
    assert finding.severity is Severity.WARNING


def test_a_template_that_drops_the_system_turn_is_found(case_with):
    turn = "{%- if message['role'] != 'system' -%}" + _TURN + "{%- endif -%}"
    findings = found(case_with(conversations_of(20), turn))
    assert set(findings) == {"TEMPLATE_DROPS_SYSTEM"}
    assert findings["TEMPLATE_DROPS_SYSTEM"].severity is Severity.ERROR
    assert findings["TEMPLATE_DROPS_SYSTEM"].n_rows == 10
    assert findings["TEMPLATE_DROPS_SYSTEM"].evidence[0].text.startswith("template_drops_system: Be brief 1.")


@pytest.mark.parametrize("lost", ["SYSTEM", "TEXT"])
def test_the_only_row_of_its_kind_is_rendered_among_many(lost, case_with):
    dropped = "message['role'] == 'system'" if lost == "SYSTEM" else "'again' in message['content']"
    special = (
        turns("Hi.", "Hello.", system="Be kind.") if lost == "SYSTEM" else turns("Hi.", "Yes?", "Hi again.", "Yes?")
    )
    rows = [turns("Hi.", f"Hello {i}.") if i != 5 else special for i in range(300)]
    turn = f"{{%- if not {dropped} -%}}" + _TURN + "{%- endif -%}"
    [finding] = found(case_with(rows, turn, max_dropped_share=0.01)).values()
    assert (finding.id, finding.severity) == (f"TEMPLATE_DROPS_{lost}", Severity.WARNING)
    assert "in 1 of 300 rows, which are dropped" in finding.summary


def test_a_template_that_cuts_long_turns_is_found(case_with):
    rows = [turns("Say it. " * 20, "It.") if i % 2 else turns("Hi.", f"Hello {i}.") for i in range(20)]
    [finding] = found(case_with(rows, _TURN.replace("message['content']", "message['content'][:40]"))).values()
    assert finding.id == "TEMPLATE_DROPS_TEXT"
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 10)


def thinking(n: int) -> list[dict[str, Any]]:
    return [turns("Why?", f"<think>\nhm {i}\n</think>\n\nSo.", "And?", f"<think>oh {i}</think>Then.") for i in range(n)]


_ANSWER = "message['content'].split('</think>')[-1]"


def test_thoughts_of_earlier_turns_may_be_dropped(case_with):
    earlier = "message['role'] == 'assistant' and not loop.last"
    turn = "{%- set text = " + _ANSWER + f" if {earlier} else message['content'] -%}}" + _TURN
    assert found(case_with(thinking(10), turn.replace("+ message['content'] +", "+ text +"))) == {}


def test_thoughts_that_are_never_trained_are_found(case_with):
    finding = found(case_with(thinking(10), _TURN.replace("message['content']", _ANSWER)))["TEMPLATE_DROPS_TEXT"]
    assert finding.n_rows == 10
    apart = [turns("Why?", f"Because {i}.") for i in range(10)]
    apart[4]["messages"][1]["reasoning_content"] = "Let me think."
    finding = found(case_with(apart, _TURN))["TEMPLATE_DROPS_TEXT"]
    assert (finding.n_rows, finding.evidence[0].row) == (1, 4)
    assert finding.evidence[0].text.startswith("template_drops_thoughts: Why?")


def test_words_beside_a_tool_call_that_are_dropped_leave_the_row_out(case_with):
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    tool = {"type": "function", "function": {"name": "clock", "description": "", "parameters": {}}}
    rows = [
        {"messages": [
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
            {"role": "tool", "name": "clock", "content": f"12:{i}"},
            {"role": "assistant", "content": f"It is 12:{i}."},
        ], "tools": [tool]}
        for i in range(10, 20)
    ]  # fmt: skip
    said = "(message['tool_calls'] | tojson if message['tool_calls'] else message['content'])"
    turn = _TURN.replace("message['content']", said)
    head = "{{- tools | tojson if tools else '' -}}" + _HEAD
    [finding] = found(case_with(rows, turn, head)).values()
    assert (finding.id, finding.severity) == ("TEMPLATE_DROPS_TEXT", Severity.ERROR)
    assert found(case_with(rows, _TURN.replace("message['content']", f"message['content'] + {said}"), head)) == {}


def test_rows_that_the_template_refuses_are_found(case_with):
    turn = "{%- if message['role'] == 'system' -%}{{ raise_exception('no system') }}{%- endif -%}" + _TURN
    findings = found(case_with(conversations_of(20), turn))
    assert set(findings) == {"TEMPLATE_REFUSES_ROWS"}
    finding = findings["TEMPLATE_REFUSES_ROWS"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 10)
    assert finding.evidence[0].text.startswith("template_refuses: no system: Be brief 1.")


def test_a_template_that_writes_today_s_date_is_noted(case_with):
    date = "{{- strftime_now('%Y-%m-%d') -}}"
    finding = found(case_with(rows_of(5), _TURN, date + _HEAD))["TEMPLATE_WRITES_DATE"]
    assert finding.severity is Severity.NOTE
    assert "date_string" not in finding.remedy


def test_marks_that_other_trainers_need_are_noted(case_with, gpt2, tmp_path):
    finding = found(case_with(rows_of(5), _TURN, assistant_only_loss=True))["NO_GENERATION_MARKS"]
    assert finding.severity is Severity.NOTE
    assert found(case_with(rows_of(5), _TURN)) == {}
    assert found(context_of(tmp_path, gpt2, rows_of(5), assistant_only_loss=True)) == {}


def test_a_template_that_the_run_refuses_is_told_once(tmp_path):
    base = base_of("qwen", tmp_path / "qwen")
    path = tmp_path / "endless.jinja"
    path.write_text(_HEAD + _TURN.replace("<|im_end|>", "") + _TAIL)
    context, refused = opened(tmp_path, base, rows_of(5), chat_template_path=str(path))
    assert [finding.id for finding in refused] == ["END_TOKEN_NOT_TRAINED"]
    assert found(context) == {}
