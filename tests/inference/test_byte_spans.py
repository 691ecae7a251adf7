import pytest

from pipelines.errors import UserError
from pipelines.inference.byte_spans import encode_text, token_byte_spans
from pipelines.modeling import load_tokenizer


@pytest.mark.parametrize(
    ("folder", "text", "expected"),
    [
        ("tokenizers/gpt2-hf", "a 😀 b", [b"a", " 😀".encode()[:-1], "😀".encode()[-1:], b" b"]),
        ("models/hf-stories260K", "I 😀", [b"I", b" ", *(bytes([b]) for b in "😀".encode())]),
        ("tokenizers/qwen2.5", "if</s>", [b"if", b"</", b"s", b">"]),
    ],
)
def test_each_byte_belongs_to_one_token(shared_data, folder, text, expected):
    tokenizer = load_tokenizer(str(shared_data / folder))
    for one in (text, "", "a\n\n  b\t", " leading", "naïve </s> 😀"):
        spans = token_byte_spans(tokenizer, one)
        assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])][: len(spans)]
        assert (spans[-1][1] if spans else 0) == len(one.encode())
    assert [text.encode()[begin:end] for begin, end in token_byte_spans(tokenizer, text)] == expected


def test_a_special_token_written_in_a_text_is_ordinary_text(shared_data):
    tokenizer = load_tokenizer(str(shared_data / "models" / "hf-stories260K"))
    assert tokenizer.eos_token_id in tokenizer("a</s>")["input_ids"]
    assert tokenizer.eos_token_id not in encode_text(tokenizer, "a</s>")


def test_a_tokenizer_without_offsets_is_refused():
    class Slow:
        is_fast, name_or_path = False, "somewhere"

    with pytest.raises(UserError, match="somewhere has the slow tokenizer"):
        token_byte_spans(Slow(), "text")  # type: ignore[arg-type]
