"""A run whose prompts are served otherwise than they are trained does not start."""

from pathlib import Path
from typing import Any

import pytest

from data_prep.conversation import Conversation, RowFormat, read_row
from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling import ensure_chat_template, load_tokenizer, render_prompt
from pipelines.training.data.labels import RowTokenizer
from pipelines.training.serving_check import refuse_other_context, refuse_prompt_mismatch

ROWS = [
    {"instruction": "Add.", "input": "2 2", "output": "4", "system": ""},
    {"instruction": "", "input": "", "output": ""},
    {"instruction": "Say é 漢字.", "input": "", "output": "\n\nok", "system": "Be brief."},
]


@pytest.fixture(params=["qwen2.5", "gpt2-hf", "stories260K", "tiny"])
def how(request: pytest.FixtureRequest, tiny_model_folder: Path) -> RowTokenizer:
    folder = tiny_model_folder
    if request.param != "tiny":
        shared = request.getfixturevalue("shared_data")
        places = {"stories260K": shared / "models" / "hf-stories260K"}
        folder = places.get(request.param, shared / "tokenizers" / request.param)
    tokenizer = load_tokenizer(str(folder))
    ensure_chat_template(tokenizer)
    return RowTokenizer(tokenizer, RowFormat.INSTRUCTION, None)


def test_every_readable_row_is_trained_as_generate_renders_it(how):
    assert [refuse_prompt_mismatch(how, ROWS, n) for n in (8, 1)] == [2, 1]
    fitted = how.examples(ROWS[0], 0)
    ids, labels = fitted.examples[0].token_ids, fitted.examples[0].labels
    n_prompt = sum(label == IGNORED for label in labels)
    assert ids[:n_prompt] == render_prompt(how.tokenizer, "Add.\n\n2 2") == how.prompt_ids(ROWS[0])
    bos = how.tokenizer.bos_token_id
    wants_one = bos is not None and how.tokenizer("")["input_ids"] == [bos]
    assert (ids[:1] == [bos]) == wants_one
    assert [place for place, token_id in enumerate(ids) if token_id == bos] == [0] * wants_one


def test_another_template_or_another_end_is_refused(tiny_model_folder):
    how = RowTokenizer(load_tokenizer(str(tiny_model_folder)), RowFormat.INSTRUCTION, None)
    ensure_chat_template(how.tokenizer)
    conversation: Any = read_row(ROWS[0], RowFormat.INSTRUCTION)
    assert isinstance(conversation, Conversation)
    examples, served = how.examples_of(conversation), load_tokenizer(str(tiny_model_folder))
    served.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>", "<|eot|>"]})
    own = served.chat_template = how.tokenizer.chat_template
    last = "{%- set end = '<|eot|>' if loop.last and message['role'] == 'assistant' else '<|im_end|>' -%}"
    turn = "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + end + '\n' -}}"
    served.chat_template = (
        "{%- for message in messages -%}" + last + turn + "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
    )
    with pytest.raises(UserError, match=r"a trained turn ends with .*, serving stops at <\|eot\|>"):
        refuse_other_context(served, conversation, examples)
    served.chat_template = str(own).replace("<|im_start|>assistant\\n", "<|im_start|>assistant: ")
    with pytest.raises(UserError, match=r"assistant\\n', the served one with .*assistant: '"):
        refuse_other_context(served, conversation, examples)
