"""The Modelfile's template, rendered by Go's own text/template, against the chat template."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer
from trl.chat_template_utils import gemma3_training_chat_template, llama3_training_chat_template

from pipelines.errors import UserError
from pipelines.merging.gguf.modelfile import read_turns, write_modelfile
from pipelines.modeling import CHATML
from tests.merging.gguf.tokenizers import save_byte_level

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}" + CHATML
)
FAMILIES = {
    "ChatML": CHATML, "a default system message": DEFAULT_SYSTEM, "Llama 3": llama3_training_chat_template,
    "Gemma": gemma3_training_chat_template,
}  # fmt: skip
SYSTEM = ("system", "Be brief.")
TALK = [("user", 'Is 1 < 2 & "so"?'), ("assistant", "Yes.\n"), ("user", "Why?")]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    found = AutoTokenizer.from_pretrained(save_byte_level(tmp_path_factory.mktemp("modelfile") / "model"))
    found.bos_token = "<|pad|>"
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "talk", [TALK[:1], TALK, [("system", "Be brief."), *TALK[:1]], [("system", "Be brief."), *TALK]]
)
def test_go_renders_what_the_chat_template_renders(family, talk, tokenizer, tmp_path):
    go_template = pytest.importorskip("go_template")
    tokenizer.chat_template = FAMILIES[family]
    turns = read_turns(tokenizer, adds_bos=True)
    (tmp_path / "template").write_text(turns.go_template())
    values = {
        "System": talk[0][1] if talk[0][0] == "system" else "",
        "Messages": [{"Role": role, "Content": content.strip()} for role, content in talk],
    }
    messages = [{"role": role, "content": content.strip()} for role, content in talk]
    expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert go_template.render(tmp_path / "template", values).decode() == expected.removeprefix("<|pad|>")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{{ loop.index }} {{ m['content'] }}\n{% endfor %}", "more than one text around"),
        ("{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}\n{% endfor %}", "does not write system"),
        ("{{ strftime_now('%d') }}" + CHATML, "writes the date"),
        (CHATML.replace("<|im_end|>", "<|{{|>"), "cannot hold"),
        (None, "no chat template"),
    ],
)
def test_another_template_is_refused_with_the_reason(template, reason, tokenizer):
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=reason):
        read_turns(tokenizer, adds_bos=False)


def test_a_modelfile_names_the_file_every_end_token_and_what_the_generation_config_says(tokenizer, tmp_path: Path):
    tokenizer.chat_template = CHATML
    turns = read_turns(tokenizer, adds_bos=False)
    path = write_modelfile(tmp_path / "my.gguf", turns, ["<|im_end|>", "<|endoftext|>"], 131072, {"do_sample": False})
    lines = path.read_text().splitlines()
    assert path.name == "my.Modelfile"
    assert lines[0] == "FROM ./my.gguf"
    assert lines[-5:] == [
        'PARAMETER stop "<|im_end|>"', 'PARAMETER stop "<|endoftext|>"', "PARAMETER num_ctx 8192",
        "PARAMETER repeat_penalty 1", "PARAMETER temperature 0",
    ]  # fmt: skip
    given = {"do_sample": True, "temperature": 0.7, "repetition_penalty": 1.2}
    sampled = write_modelfile(tmp_path / "my.gguf", turns, [], None, given)
    assert sampled.read_text().splitlines()[-2:] == ["PARAMETER repeat_penalty 1.2", "PARAMETER temperature 0.7"]
