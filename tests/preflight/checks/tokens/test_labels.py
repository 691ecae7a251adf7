"""Labels that are not the answers of the rows, and nothing about labels that are."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trl
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import AutoConfig, DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from pipelines.modeling import CHATML, load_tokenizer
from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.tokens import labels
from pipelines.preflight.checks.tokens.labels import CHECKS, lost_to_padding
from pipelines.records.finding import Severity
from pipelines.training.data.truncation import Example
from tests.preflight.contexts import context_of, findings_by_id, opened, pairs_of, rows_of
from tests.twins.models import save_twin

# What tokenizers stumble over: scripts, composed and decomposed accents, joined emoji, tabs and blanks in code.
TEXTS = (
    "مرحبا بالعالم، هذا نصٌّ عربيٌّ.", "Привет, как дела?", "你好，世界！今天天气很好。", "カタカナもあります。",
    "Größe, Übermaß — „Zitate“.", "Tiếng Việt có dấu.", "हिन्दी में एक वाक्य।", "안녕하세요 여러분",
    "e\u0301 and \u00e9", "👩‍👩‍👧‍👦 🇩🇪 ok", "x² ≤ ½ ﬁ ①", "def f(x):\n\treturn x  \n\n\n    y = 1   \n",
    "  leading and trailing   ", "a , b . c ' s n't !", "\r\none\r\ntwo\r\n", "\u00a0nbsp\u200bzwsp",
    "<b>bold</b>", "\\n \"quoted\" 'n", "\n\nanswer", "Human: hi",
)  # fmt: skip


found = partial(findings_by_id, CHECKS)


def rows_in_scripts(n: int) -> list[dict[str, str]]:
    return [{"instruction": f"{i}: {TEXTS[i % 20]}", "output": f"{TEXTS[(7 * i + 3) % 20]}{i % 3}"} for i in range(n)]


def plain(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [{"text": row["output"]} for row in rows]


def save_base(tokenizer: Any, folder: Path, model_type: str = "llama") -> Path:
    """A base that is known by its config alone, with `tokenizer`."""
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    AutoConfig.for_model(model_type, vocab_size=len(tokenizer), **sizes, **ends).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_character_base(folder: Path, *, knows_unknown: bool) -> Path:
    """A base whose tokenizer knows ASCII characters, and has a token for all others or drops them."""
    special = ["<|end|>", "<unk>"]
    vocabulary = {token: n for n, token in enumerate([*special, *map(chr, range(9, 127))])}
    core = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>" if knows_unknown else None))
    core.decoder = decoders.Fuse()
    unknown = {"unk_token": "<unk>"} if knows_unknown else {}
    return save_base(PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", **unknown), folder)


def changed_tokenizer(base: Path, folder: Path, **parts: Any) -> Path:
    """`base` with other parts of its tokenizer: a normalizer, a post_processor."""
    shutil.copytree(base, folder)
    tokenizer = load_tokenizer(str(base))
    for name, part in parts.items():
        setattr(tokenizer.backend_tokenizer, name, part)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["gpt2", "qwen", "llama3"])
def test_clean_rows_of_every_script_give_nothing(family, bases, tmp_path):
    rows = rows_in_scripts(60)
    for some in (
        rows_of(20),
        rows,
        plain(rows),
        [{"prompt": r["instruction"], "completion": r["output"]} for r in rows],
    ):
        assert found(context_of(tmp_path, bases[family], some)) == {}
    assert found(context_of(tmp_path, bases[family], pairs_of(rows), stage=Stage.DPO)) == {}


@pytest.mark.parametrize("name", ["tokenizers/gpt2-hf", "tokenizers/qwen2.5", "models/hf-stories260K"])
def test_real_tokenizers_give_nothing(name, shared_data, tmp_path):
    if not (shared_data / name).is_dir():
        pytest.skip(f"no {name} in {shared_data}")
    base = save_base(load_tokenizer(str(shared_data / name)), tmp_path / "base")
    assert found(context_of(tmp_path, base, rows_in_scripts(60))) == {}
    assert found(context_of(tmp_path, base, plain(rows_in_scripts(60)))) == {}


@pytest.mark.parametrize("policy", ["split", "keep_end_token", "truncate_prompt"])
def test_rows_that_were_made_to_fit_give_nothing(policy, bases, tmp_path):
    rows = [{**row, "output": " ".join([row["output"]] * 4)} for row in rows_of(40)]
    context = context_of(tmp_path, bases["llama3"], rows, long_rows=policy, max_length=180)
    assert found(context) == {}


def test_a_recipe_that_trains_prompts_is_found(bases, tmp_path):
    finding = found(context_of(tmp_path, bases["gpt2"], rows_of(20), completion_only_loss=False))["PROMPT_IN_LOSS"]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 20)
    assert found(context_of(tmp_path, bases["gpt2"], plain(rows_of(20)), completion_only_loss=False)) == {}


def test_empty_thoughts_of_the_rows_are_found(bases, tmp_path):
    rows = [{**row, "output": f"<think>\n\n</think>\n\n{row['output']}"} for row in rows_of(10)]
    finding = found(context_of(tmp_path, bases["gpt2"], rows + rows_of(10)))["EMPTY_THINK_TRAINED"]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 10)
    assert any(token.text for token in finding.evidence[0].tokens if token.trained)
    thoughtful = [{**row, "output": f"<think>\nhm\n</think>\n\n{row['output']}"} for row in rows_of(20)]
    asked = [{**row, "instruction": f"{row['instruction']} /no_think"} for row in rows]
    assert found(context_of(tmp_path, bases["gpt2"], thoughtful + asked)) == {}


def test_empty_thoughts_of_the_bases_own_template_are_found(bases, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(bases["qwen"], base)
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    (base / "chat_template.jinja").write_text(template.read_text())
    context, refused = opened(tmp_path, base, rows_of(10))
    assert refused == []
    assert found(context)["EMPTY_THINK_TRAINED"].n_rows == 10


def test_answers_that_the_tokenizer_drops_are_found(tmp_path):
    base = save_character_base(tmp_path / "base", knows_unknown=False)
    rows = [{"instruction": f"Say {i}.", "output": "你好" if i < 5 else f"hello {i}"} for i in range(20)]
    for context in (
        context_of(tmp_path, base, rows),
        context_of(tmp_path, base, plain(rows)),
        context_of(tmp_path, base, pairs_of(rows), stage=Stage.DPO),
    ):
        finding = found(context)["ROWS_WITHOUT_LABELS"]
        assert (finding.severity, finding.n_rows, finding.evidence[0].row) == (Severity.ERROR, 5, 0)
    assert found(context_of(tmp_path, base, rows[5:])) == {}


def test_labels_that_padding_takes_away_are_found(bases, tmp_path, monkeypatch):
    context = context_of(tmp_path, bases["gpt2"], rows_of(3))
    examples = [example for row in context.train.rows for example in row.examples]
    tokenizer = context.tokenizer
    assert tokenizer.pad_token_id != tokenizer.eos_token_id

    def collate(some: Sequence[Example]) -> Any:
        """Labels as the collator for pretraining makes them: what looks like padding is not trained."""
        batch = DataCollatorForLanguageModeling(tokenizer, mlm=False)([{"input_ids": one.token_ids} for one in some])
        return batch["labels"].tolist()

    assert lost_to_padding(examples, collate) == set()
    tokenizer.pad_token = tokenizer.eos_token
    assert lost_to_padding(examples, collate) == {tokenizer.eos_token_id}
    monkeypatch.setattr(labels, "_collator", lambda _: collate)  # what another version of TRL might bring
    finding = found(context)["PAD_MASKS_END_TOKEN"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 3)


@pytest.mark.parametrize("pad", [None, "<|im_end|>"])
def test_the_collators_of_the_run_keep_every_label(pad, bases, tmp_path):
    short_and_long = [{**row, "output": row["output"] * (i + 1)} for i, row in enumerate(rows_of(3))]
    context = context_of(tmp_path, bases["gpt2"], short_and_long, pad_token=pad)
    assert found(context) == {}
    pairs = context_of(tmp_path, bases["gpt2"], pairs_of(short_and_long), stage=Stage.DPO)
    assert found(pairs) == {}
    assert found(replace(pairs, train=replace(pairs.train, rows=pairs.train.rows[:1]))) == {}


def test_a_normalizing_tokenizer_is_found(bases, tmp_path):
    for name, normalizer, became in (("small", normalizers.Lowercase(), "a apple"), ("nfkc", normalizers.NFKC(), None)):
        base = changed_tokenizer(bases["gpt2"], tmp_path / name, normalizer=normalizer)
        rows = rows_of(20) if became else [{**row, "output": "x² ≤ ½"} for row in rows_of(20)]
        finding = found(context_of(tmp_path, base, rows))["ANSWER_DOES_NOT_ROUND_TRIP"]
        assert (finding.severity, finding.n_rows) == (Severity.WARNING, 20)
        assert (became or "'x2 ≤ 1⁄2'") in finding.evidence[0].text
        assert (
            found(context_of(tmp_path, base, [{**row, "output": row["output"].lower()} for row in rows_of(20)])) == {}
        )


def test_a_decoder_that_takes_the_first_blank_away_is_no_fault(bases, tmp_path):
    decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])  # as Llama 2's ends
    base = changed_tokenizer(bases["gpt2"], tmp_path / "base", decoder=decoder)
    assert load_tokenizer(str(base)).decode(load_tokenizer(str(base))("  two")["input_ids"]) == " two"
    assert found(context_of(tmp_path, base, [{**row, "output": f"  {row['output']}"} for row in rows_of(20)])) == {}


def test_unknown_characters_are_found(tmp_path):
    base = save_character_base(tmp_path / "base", knows_unknown=True)
    rows = [{**row, "output": f"{row['output']} é ok" if i < 2 else row["output"]} for i, row in enumerate(rows_of(20))]
    finding = found(context_of(tmp_path, base, rows))["UNKNOWN_TOKENS"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 2)
    assert "does not know (é), 2 of them in the answer" in finding.summary
    assert [token.text for token in finding.evidence[0].tokens if token.text == "<unk>"] == ["<unk>"]
    asked = [{**row, "instruction": f"{row['instruction']} é"} for row in rows_of(20)]
    assert found(context_of(tmp_path, base, asked))["UNKNOWN_TOKENS"].severity is Severity.WARNING
    spelled = [{**row, "output": f"{row['output']} <unk>"} for row in rows_of(20)]
    assert found(context_of(tmp_path, base, spelled)) == {}


def test_a_text_that_brings_its_own_bos_is_found(bases, tmp_path):
    rows = [{"text": f"<|begin_of_text|>{row['output']}"} for row in rows_of(20)]
    finding = found(context_of(tmp_path, bases["llama3"], rows))["DOUBLE_BOS"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 20)
    assert [token.text for token in finding.evidence[0].tokens[:2]] == ["<|begin_of_text|>"] * 2
    inside = [{"text": row["output"].replace(" stood", " <|begin_of_text|>stood")} for row in rows_of(20)]
    assert found(context_of(tmp_path, bases["llama3"], inside))["DOUBLE_BOS"].n_rows == 20
    assert found(context_of(tmp_path, bases["gpt2"], rows)) == {}


def test_a_template_that_writes_bos_twice_is_found(bases, tmp_path):
    tokenizer = context_of(tmp_path, bases["llama3"], rows_of(2)).tokenizer
    path = tmp_path / "twice.jinja"
    path.write_text("{{- bos_token -}}" + str(tokenizer.chat_template))
    context = context_of(tmp_path, bases["llama3"], rows_of(10), chat_template_path=str(path))
    finding = found(context)["DOUBLE_BOS"]
    assert (finding.severity, finding.n_rows) == (Severity.ERROR, 10)
    assert "chat template" in finding.remedy


def test_a_template_that_writes_bos_for_each_round_is_left_alone(bases, tmp_path):
    path = tmp_path / "rounds.jinja"
    path.write_text(
        "{%- for message in messages -%}{{- (bos_token if message['role'] == 'user' else '') -}}"
        "{{- '[' + message['role'] + ']' + message['content'] + '<|eot_id|>' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}[assistant]{%- endif -%}"
    )
    said = [
        {"role": ("user", "assistant")[i % 2], "content": text}
        for i, text in enumerate(["Hi.", "Hello.", "Who?", "I."])
    ]
    assert found(context_of(tmp_path, bases["llama3"], [{"messages": said}] * 3, chat_template_path=str(path))) == {}


def test_a_llama_without_its_bos_is_found(bases, tmp_path):
    base = changed_tokenizer(bases["llama3"], tmp_path / "base", post_processor=processors.Sequence([]))
    finding = found(context_of(tmp_path, base, plain(rows_of(20))))["MISSING_BOS"]
    assert (finding.severity, finding.n_rows) == (Severity.WARNING, 20)
    assert found(context_of(tmp_path, bases["llama3"], plain(rows_of(20)))) == {}
    assert finding.remedy == "begin the text of each row with <|begin_of_text|>"
    begun = [{"text": f"<|begin_of_text|>{row['text']}"} for row in plain(rows_of(20))]
    assert found(context_of(tmp_path, base, begun)) == {}


def test_the_remedy_for_a_template_without_bos_works(bases, tmp_path):
    """A tokenizer that adds BOS to a text does not add it to what a template wrote, nor does a server."""
    path = tmp_path / "own.jinja"
    path.write_text(CHATML)
    finding = found(context_of(tmp_path, bases["llama3"], rows_of(20), chat_template_path=str(path)))["MISSING_BOS"]
    assert "begins with {{- bos_token -}}" in finding.remedy
    path.write_text("{{- bos_token -}}" + CHATML)
    assert found(context_of(tmp_path, bases["llama3"], rows_of(20), chat_template_path=str(path))) == {}


@pytest.mark.parametrize("model", ["smollm2-135m", "gemma-3-1b", "mistral-7b-v0.3", "qwen2.5-0.5b"])
def test_bases_with_their_own_habits_give_nothing(model, tmp_path):
    base = save_twin(model, tmp_path / model, Path("absent"))
    assert found(context_of(tmp_path, base, rows_of(10))) == {}
    assert found(context_of(tmp_path, base, plain(rows_of(10)))) == {}


def test_a_chatml_mark_as_bos_is_no_bos(tmp_path):
    base = save_twin("smollm2-135m", tmp_path / "base", Path("absent"))
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "bos_token": "<|im_start|>"}))
    context = context_of(tmp_path, base, plain(rows_of(10)))
    assert context.tokenizer.bos_token == "<|im_start|>"
    assert found(context) == {}
