"""What is trained, scored and served is one rendering."""

from pathlib import Path
from typing import Any

import pytest

from data_prep.conversation import Conversation, PlainText, RowFormat
from pipelines.errors import UserError
from pipelines.modeling import (
    CHATML,
    PromptStyle,
    end_token,
    ensure_chat_template,
    load_tokenizer,
    render_answer,
    render_prompt,
)
from pipelines.training.data.labels import RowTokenizer

ODD_TEXTS = ["", "plain", " leading", "\n\nnewlines", "tail  \n", "zero\u200bwidth é 漢字 🙂", "\tif x:\n\t\tpass"]


@pytest.fixture(params=["qwen2.5", "gpt2-hf", "tiny"])
def tokenizer(request: pytest.FixtureRequest, tiny_model_folder: Path) -> Any:
    folder = tiny_model_folder
    if request.param != "tiny":
        folder = request.getfixturevalue("shared_data") / "tokenizers" / request.param
    loaded = load_tokenizer(str(folder))
    ensure_chat_template(loaded)
    return loaded


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_prompt_and_answer_are_those_of_the_template_with_one_end_token(tokenizer, text):
    answer = render_answer(tokenizer, text, PromptStyle.CHAT)
    rendered = tokenizer.decode([*render_prompt(tokenizer, "Say it.\n\nthe input"), *answer.token_ids])
    question = [{"role": "user", "content": "Say it.\n\nthe input"}]
    served = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    assert rendered == f"{served}{text}{end_token(tokenizer)}"
    assert answer.token_ids[-1] == tokenizer.convert_tokens_to_ids(end_token(tokenizer)) == tokenizer.eos_token_id
    assert len(answer.token_ids) == answer.n_text_tokens + 1


def test_a_raw_or_plain_prompt_has_no_mark_of_the_template(tokenizer):
    assert tokenizer.decode(render_prompt(tokenizer, "ROMEO:", style=PromptStyle.RAW)) == "ROMEO:"
    assert tokenizer.decode(render_prompt(tokenizer, "Say it.", style=PromptStyle.PLAIN)) == "Say it.\n\n"


@pytest.mark.parametrize("style", list(PromptStyle), ids=str)
def test_there_is_exactly_one_bos_where_the_tokenizer_wants_one(shared_data, style):
    tokenizer = load_tokenizer(str(shared_data / "models" / "hf-stories260K"))
    ensure_chat_template(tokenizer)
    token_ids = render_prompt(tokenizer, "Tell a story.", style=style)
    assert token_ids.count(tokenizer.bos_token_id) == 1
    assert token_ids[0] == tokenizer.bos_token_id


def test_a_base_without_template_gets_chatml_and_an_instruct_tokenizer_keeps_its_own(shared_data):
    tokenizer = load_tokenizer(str(shared_data / "tokenizers" / "gpt2-hf"))
    with pytest.raises(UserError, match="has no chat template"):
        render_prompt(tokenizer, "Say it.")
    size = len(tokenizer)
    assert ensure_chat_template(tokenizer) == ["<|im_start|>", "<|im_end|>"]
    assert tokenizer.chat_template == CHATML
    assert len(tokenizer) == size + 2
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer("<|im_start|>", add_special_tokens=False)["input_ids"] == [size]
    instruct = load_tokenizer(str(shared_data / "tokenizers" / "qwen2.5"))
    own = instruct.chat_template
    assert (ensure_chat_template(instruct), instruct.chat_template) == ([], own)
    assert end_token(instruct) == "<|im_end|>"


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}<|im_end|>", "drops"),
        ("{% for m in messages %}{{ m.content }}\n{% endfor %}", "a special token"),
    ],
)
def test_a_bad_template_is_refused(tiny, tmp_path, template, complaint):
    (tmp_path / "bad.jinja").write_text(template)
    with pytest.raises(UserError, match=complaint):
        ensure_chat_template(tiny, str(tmp_path / "bad.jinja"))


@pytest.mark.parametrize(
    ("marks", "end"),
    [
        (["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], "<|eot_id|>"),
        (["<start_of_turn>", "<end_of_turn>"], "<end_of_turn>"),
        (["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    ],
    ids=["llama3", "gemma", "chatml"],
)
def test_reserved_marks_get_their_template_and_are_trained(shared_data, marks, end):
    tokenizer = load_tokenizer(str(shared_data / "tokenizers" / "gpt2-hf"))
    tokenizer.add_special_tokens({"bos_token": "<bos>", "extra_special_tokens": ["<unused>", *marks]})
    size = len(tokenizer)
    assert ensure_chat_template(tokenizer) == marks
    assert len(tokenizer) == size
    assert tokenizer.eos_token == end_token(tokenizer) == end


ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Two and two?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And two?"},
]


def test_a_conversation_is_rendered_by_the_template_and_in_plain_style_as_a_transcript(tiny):
    served = tiny.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
    assert tiny.decode(render_prompt(tiny, Conversation(ASKED))) == served
    plain = tiny.decode(render_prompt(tiny, Conversation(ASKED), PromptStyle.PLAIN))
    assert plain == ("Be brief.\n\nUser:\n\nTwo and two?\n\nAssistant:\n\nFour.\n\nUser:\n\nAnd two?\n\nAssistant:\n\n")
    single = render_prompt(tiny, Conversation(ASKED[:2]), PromptStyle.PLAIN)
    assert tiny.decode(single) == "Be brief.\n\nTwo and two?\n\n"
    tiny.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(UserError, match="conversation of 4 messages: 'roles must alternate'"):
        render_prompt(tiny, Conversation(ASKED))


@pytest.mark.parametrize("style", PromptStyle)
def test_a_prompt_trained_as_plain_text_is_rendered_as_it_is(tiny, style):
    how = RowTokenizer(tiny, RowFormat.PROMPT_COMPLETION, 256)
    row = {"prompt": "def f(x):", "completion": "\n    return x"}
    assert render_prompt(tiny, PlainText("def f(x):", ""), style) == how.prompt_ids(row)
