"""What the assistant says is found in any template, with marks or without, and tokenized as it is served."""

import json
from typing import Any

import pytest
import trl.chat_template_utils as trl_templates
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from data_prep.conversation import RowFormat, read_row
from pipelines.modeling import ensure_chat_template, load_tokenizer
from pipelines.modeling.assistant_masks import (
    AssistantTurn,
    UnrenderableError,
    inner_token_ids,
    prompt_token_ids,
    render_turns,
    turn_token_ids,
)
from pipelines.modeling.chat_template import end_token

TALK = [
    {"role": role, "content": text}
    for role, text in zip(["user", "assistant"] * 2, ["one?", "The first.", "two?", "The second."], strict=True)
]
TEMPLATES = {
    "chatml": None,
    "llama3": trl_templates.llama3_chat_template,
    "llama3_training": trl_templates.llama3_training_chat_template,
    "gemma3": trl_templates.gemma3_chat_template,
    "qwen2.5": trl_templates.qwen2_5_chat_template,
    "qwen2.5_training": trl_templates.qwen2_5_training_chat_template,
    "phi3": trl_templates.phi3_chat_template,
}
MARKS = [
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<|user|>",
    "<|assistant|>", "<|end|>",
]  # fmt: skip


@pytest.fixture(params=list(TEMPLATES))
def tokenizer(request: pytest.FixtureRequest, tiny: Any) -> Any:
    if TEMPLATES[request.param] is not None:
        tiny.add_special_tokens({"bos_token": "<s>", "extra_special_tokens": MARKS}, False)
        tiny.chat_template = TEMPLATES[request.param]
    ensure_chat_template(tiny)
    return tiny


def trained(tokenizer: Any, segments: list[Any]) -> list[str]:
    return [tokenizer.decode(one.token_ids) for one in segments if one.trained]


def test_every_turn_is_trained_with_its_end_and_no_header(tokenizer):
    [segments] = render_turns(tokenizer, TALK)
    end = end_token(tokenizer)
    assert trained(tokenizer, segments) == [f"The first.{end}", f"The second.{end}"]
    whole = tokenizer.apply_chat_template(TALK, tokenize=False)
    assert whole.startswith(tokenizer.decode([id for one in segments for id in one.token_ids]))
    served = tokenizer.apply_chat_template(TALK[:1], add_generation_prompt=True, tokenize=False)
    assert segments[0].token_ids == prompt_token_ids(tokenizer, served)
    [segments] = render_turns(tokenizer, TALK, trained_turns=[3])  # turns before it are context
    assert trained(tokenizer, segments) == [f"The second.{end}"]


def test_a_template_that_rewrites_history_gives_each_turn_an_example_of_its_own(tiny):
    """Thoughts of earlier turns are dropped as soon as another message follows."""
    tiny.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
        "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    ensure_chat_template(tiny)
    thoughts = {"user": "", "assistant": "<think>hm</think>"}
    first, second = render_turns(tiny, [{**one, "content": thoughts[one["role"]] + one["content"]} for one in TALK])
    assert trained(tiny, first) == ["<think>hm</think>The first.<|im_end|>"]
    assert trained(tiny, second) == ["<think>hm</think>The second.<|im_end|>"]
    assert "hm" not in tiny.decode(second[0].token_ids)


@pytest.mark.parametrize("tokenizer", ["gemma3"], indirect=True)
@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (TALK[:1], "no_assistant_turn"),
        ([TALK[0], {"role": "assistant", "content": ""}], "empty_output"),
        ([TALK[0], {"role": "assistant", "content": " \n"}], "empty_output"),
        ([TALK[0], TALK[0], TALK[1]], "template_refuses: Conversation roles must alternate"),
    ],
)
def test_a_conversation_without_an_answer_has_a_reason(tokenizer, messages, reason):
    with pytest.raises(UnrenderableError, match=reason):
        render_turns(tokenizer, messages)


def turn_of(asked, said):
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def prompt_ids(tokenizer, messages):
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


def test_an_answer_has_no_space_that_the_tokenizer_puts_before_a_beginning():
    """SentencePiece tokenizers write a beginning with a space; an answer follows its prompt and begins nothing."""
    pieces = ["<unk>", "</s>", "\u2581", "a", "b", "\u2581a", "ab", "\u2581ab"]
    core = Tokenizer(models.BPE({p: n for n, p in enumerate(pieces)}, [("\u2581", "a"), ("a", "b"), ("\u2581", "ab")]))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Metaspace()
    core.add_special_tokens([AddedToken("</s>", special=True)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab")["input_ids"]) != ["ab"]
    assert tokenizer.convert_ids_to_tokens(inner_token_ids(tokenizer, "ab")) == ["ab"]


ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SCHEMES = {
    "prepended": (normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None),
    **{scheme: (None, pre_tokenizers.Metaspace(prepend_scheme=scheme)) for scheme in ("always", "first", "never")},
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_answer_after_a_special_token_decodes_to_its_text_and_the_second_turn_follows_the_served_prompt(scheme):
    core = Tokenizer(models.BPE(unk_token="?"))
    core.normalizer, core.pre_tokenizer = (part or core.normalizer for part in SCHEMES[scheme])
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    trainer = trainers.BpeTrainer(special_tokens=["?", "</s>"], show_progress=False)
    core.train_from_iterator(["def f in x hi so\n\n  return"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?", eos_token="</s>")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|user|>", "<|assistant|>", "<|end|>"]})
    tokenizer.chat_template = ZEPHYR
    ensure_chat_template(tokenizer)
    talk = [message for asked, said in (("hi", "def f"), ("so", "\n\n  in x")) for message in turn_of(asked, said)]

    examples = render_turns(tokenizer, talk)
    served = [prompt_ids(tokenizer, talk[:1]), prompt_ids(tokenizer, talk[:3])]
    trained = []
    for example in examples:
        context: list[int] = []
        for segment in example:
            if segment.trained:
                assert context == served[len(trained)]
                read = tokenizer.decode([*context, *segment.token_ids])
                trained.append(read.removeprefix(tokenizer.decode(context)))
            context += segment.token_ids
    assert trained == ["def f<|end|>", "\n\n  in x<|end|>"]
    assert len(examples) == (2 if scheme in ("prepended", "always") else 1)  # a server reads "def" again with a space


@pytest.mark.parametrize("text", ["def f", " def", "\ndef", "\n\n  def", "a", ".5", ": x"])
def test_text_after_other_text_has_no_space_of_a_beginning_where_the_first_anchor_merges_with_it(text):
    core = Tokenizer(models.BPE(unk_token="?"))
    core.normalizer, core.pre_tokenizer = SCHEMES["prepended"][0], None
    trainer = trainers.BpeTrainer(special_tokens=["?"], vocab_size=120, show_progress=False)
    core.train_from_iterator(["def f\n\n  def\n def f: x\n.5a\ndef.a a"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?")
    assert "".join(tokenizer.convert_ids_to_tokens(inner_token_ids(tokenizer, text))) == text.replace(" ", "▁")


_TEXT = "System: be brief.\n Question  two "
_SPLITS = {
    "bytes": (None, pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "space before a text": (None, pre_tokenizers.Metaspace(prepend_scheme="first")),
    "space before a part": (normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None),
    "composed": (normalizers.NFC(), pre_tokenizers.Metaspace(prepend_scheme="always")),
}
_MARKS = {
    "plain": [AddedToken("<u>", special=True, normalized=False), AddedToken("</s>", special=True, normalized=False)],
    "takes the space before it": [AddedToken("<u>", special=True, normalized=False, lstrip=True), "</s>"],
    "takes the space after it": [AddedToken("<u>", special=True, normalized=False, rstrip=True), "</s>"],
    "a whole word": [AddedToken("<u>", special=True, normalized=False, single_word=True), "</s>"],
    "begins another": [
        AddedToken("<u>", special=True, normalized=False),
        AddedToken("<u>two", special=True, normalized=False, lstrip=True),
        "</s>",
    ],
    "begins inside another": [
        AddedToken("<u>", special=True, normalized=False),
        AddedToken(" <u", special=False, normalized=False),
        "</s>",
    ],
    "normalized": [AddedToken("<u>", special=True, normalized=True), "</s>"],
}


@pytest.mark.parametrize("marks", _MARKS)
@pytest.mark.parametrize("split", _SPLITS)
def test_turns_that_share_a_prompt_have_the_tokens_of_their_whole_texts(split, marks):
    bpe = Tokenizer(models.BPE(unk_token="?"))
    bpe.normalizer, bpe.pre_tokenizer = (one or bpe.normalizer for one in _SPLITS[split])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator([_TEXT] * 3, trainers.BpeTrainer(special_tokens=["?"], initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="?")
    for mark in _MARKS[marks]:
        tokenizer.add_tokens([mark], special_tokens=isinstance(mark, str) or mark.special)
    prompts = [
        f"{start}<u>{question}" for start in ("", _TEXT, "e\u0301 <u>", "<u>") for question in ("two", " one ", "")
    ]
    turns = [AssistantTurn(prompt, answer) for prompt in prompts for answer in ("two</s>", " <u>three</s>", "<u")]

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def spelled(token_ids):
        return "".join(tokenizer.convert_ids_to_tokens(token_ids))

    found = turn_token_ids(tokenizer, turns)
    assert [prompt for prompt, _ in found] == [ids(turn.prompt) for turn in turns]
    a, three = ids("a"), ids("three")
    spaced = ids("<u>three") == [*ids("<u>"), *three] and spelled(ids("athree")) != spelled([*a, *three])
    for turn, (prompt, answer) in zip(turns, found, strict=True):
        whole = ids(turn.prompt + turn.text)
        if spaced and prompt and prompt[-1] in tokenizer.added_tokens_decoder:
            assert spelled([*a, *answer]) == spelled(ids(f"a{turn.text}"))
        elif whole[: len(prompt)] == prompt:
            assert prompt + answer == whole


def test_a_prompt_of_several_turns_is_tokenized_once(tiny, monkeypatch):
    ensure_chat_template(tiny)
    turns = [AssistantTurn(f"<|im_start|>system\nBe brief.<|im_end|>{'<|im_start|>user' * n}", "x") for n in range(5)]
    turn_token_ids(tiny, turns[:1])  # what it needs to know of the tokenizer is found out once
    encoded = []
    encode = type(tiny).__call__
    monkeypatch.setattr(
        type(tiny), "__call__", lambda self, texts, **how: encoded.extend(texts) or encode(self, texts, **how)
    )
    turn_token_ids(tiny, turns)
    assert sorted(encoded) == sorted(set(encoded))
    assert sum(text.count("Be brief.") for text in encoded) == 1


def test_real_tool_conversations_train_calls_and_answers_and_never_results(shared_data):
    tokenizer = load_tokenizer(str(shared_data / "tokenizers" / "qwen2.5"))
    ensure_chat_template(tokenizer)
    rows = json.loads((shared_data / "llamafactory-demos" / "glaive_toolcall_en_demo.json").read_text())[:60]
    n_calls = 0
    for row in rows:
        talk: Any = read_row(row, RowFormat.SHAREGPT)
        [segments] = render_turns(tokenizer, talk.messages, tools=talk.tools)
        said = trained(tokenizer, segments)
        assert len(said) == sum(one["role"] == "assistant" for one in talk.messages)
        assert all(text.count("<|im_end|>") == 1 and text.endswith("<|im_end|>") for text in said)
        assert not any("<tool_response>" in text or "<|im_start|>" in text for text in said)
        n_calls += sum("<tool_call>" in text for text in said)
    assert n_calls > 20
