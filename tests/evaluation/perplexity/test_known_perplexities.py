"""Real models on real text: equal to a float64 loop written here, and to lm-evaluation-harness for the same window."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.evaluation.likelihood.documents import Scope, read_dataset
from pipelines.evaluation.perplexity.measurement import Measurement, Reading, measure
from pipelines.hub.model_ref import ModelRef

MODELS = ["hf-stories260K", "hf-babyllama-tok361"]
FILES = ["wikitext2/wiki.valid.raw", "tinyshakespeare/input.txt"]
N_CHARACTERS = 4_000  # of a file in the fast tests: several windows


@pytest.fixture
def text(request: pytest.FixtureRequest, shared_data: Path, tmp_path: Path) -> Path:
    """The head of a file, or the whole, as a file of its own."""
    name, n_characters = request.param
    path = tmp_path / Path(name).name
    path.write_text((shared_data / name).read_text(encoding="utf-8")[:n_characters], encoding="utf-8")
    return path


def measured(folder: Path, text: Path, reading: Reading) -> Measurement:
    """The file as one text, read as the program reads it."""
    documents = {Scope.TEXT: read_dataset(str(text), "test").in_scope(Scope.TEXT)}
    [found] = measure([ModelRef(str(folder))], documents, reading)
    assert sum(one.n_bytes for one in found.documents) == len(text.read_bytes())
    return found


def nats(measurement: Measurement) -> float:
    return sum(one.nll_nats for one in measurement.documents)


def float64_loop(folder: Path, text: str, window: int, stride: int) -> tuple[float, int]:
    """Nats and number of all tokens of `text` after BOS, one window at a time, float64 from the weights on."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    token_ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    total, scored_to, end = 0.0, 1, min(window, len(token_ids))
    while scored_to < len(token_ids):
        read = token_ids[max(0, end - window) : end]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([read])).logits[0].numpy()
        for place in range(len(read) - (end - scored_to), len(read)):
            row = logits[place - 1]
            total -= float(row[read[place]] - row.max() - np.log(np.exp(row - row.max()).sum()))
        scored_to, end = end, min(end + stride, len(token_ids))
    return total, len(token_ids) - 1


def harness_log_likelihood(folder: Path, text: str, max_length: int | None) -> float:
    """log p of `text` as the tasks of output type `loglikelihood_rolling` have it; None for the model's own length.

    Without `add_bos_token=False` the harness scores the BOS that these tokenizers put before a text, given another BOS.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    options = {"device": "cpu", "dtype": "float32", "batch_size": 8, "add_bos_token": False}
    model = HFLM(pretrained=str(folder), max_length=max_length, **options)
    request = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
    [found] = model.loglikelihood_rolling([request], disable_tqdm=True)
    return found


def equals_the_float64_loop(folder: Path, text: Path) -> None:
    max_positions = 512 if "stories" in folder.name else 256
    found = measured(folder, text, Reading(batch_size=16))
    expected, n_tokens = float64_loop(folder, text.read_text(encoding="utf-8"), max_positions, max_positions // 2)
    assert n_tokens > 2 * max_positions
    assert sum(one.n_tokens for one in found.documents) == n_tokens
    assert math.exp(nats(found) / n_tokens) == pytest.approx(math.exp(expected / n_tokens), rel=1e-6)


def equals_the_harness(folder: Path, text: Path, max_length: int | None) -> None:
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity

    longest = max_length or (512 if "stories" in folder.name else 256)
    content = text.read_text(encoding="utf-8")
    log_likelihood = harness_log_likelihood(folder, content, max_length)
    n_words, n_bytes = len(re.split(r"\s+", content)), len(content.encode())
    found = nats(measured(folder, text, Reading(batch_size=16, window=longest + 1, stride=longest)))
    assert math.exp(found / n_words) == pytest.approx(weighted_perplexity([(log_likelihood, n_words)]), rel=1e-4)
    assert math.exp(found / n_bytes) == pytest.approx(weighted_perplexity([(log_likelihood, n_bytes)]), rel=1e-4)
    assert found / n_bytes / math.log(2) == pytest.approx(bits_per_byte([(log_likelihood, n_bytes)]), rel=1e-6)


@pytest.mark.parametrize("text", [(name, N_CHARACTERS) for name in FILES], indirect=True, ids=FILES)
@pytest.mark.parametrize("model", MODELS)
def test_the_perplexity_of_a_model_equals_a_float64_loop(shared_data, model, text):
    equals_the_float64_loop(shared_data / "models" / model, text)


@pytest.mark.parametrize("text", [(name, N_CHARACTERS) for name in FILES], indirect=True, ids=FILES)
@pytest.mark.parametrize(("model", "max_length"), zip(MODELS, [100, None], strict=True))
def test_word_and_byte_perplexity_equal_those_of_the_harness_for_the_same_window(shared_data, model, max_length, text):
    equals_the_harness(shared_data / "models" / model, text, max_length)


@pytest.mark.slow
@pytest.mark.parametrize("text", [(name, None) for name in FILES], indirect=True, ids=FILES)
@pytest.mark.parametrize("model", MODELS)
def test_whole_files_equal_both(shared_data, model, text):
    equals_the_float64_loop(shared_data / "models" / model, text)
    equals_the_harness(shared_data / "models" / model, text, None)
