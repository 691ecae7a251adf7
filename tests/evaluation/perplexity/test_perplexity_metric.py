import math
import os
import subprocess
import sys
from pathlib import Path

import evaluate
import pytest

from pipelines.evaluation.likelihood.likelihood import text_likelihoods
from pipelines.evaluation.perplexity.record import METRIC_FOLDER
from pipelines.inference.loading import load_for_inference
from tests.evaluation.plain_likelihood import plain_nll

TEXTS = [
    "def f(x):\n    return x\n",
    "x",
    "größer 😀",
    "The sky is blue. " * 4,
    "one two",
    "a\n\n  b\t",
    "Once upon a time.",
]


@pytest.fixture(scope="module")
def metric() -> evaluate.EvaluationModule:
    return evaluate.load(str(METRIC_FOLDER), keep_in_memory=True)


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("has_bos", [True, False])
@pytest.mark.parametrize("needs_padding", [True, False])
def test_perplexity_equals_an_independent_float64_computation(
    metric: evaluate.EvaluationModule,
    tiny_model_folder: Path,
    request: pytest.FixtureRequest,
    batch_size: int,
    has_bos: bool,
    needs_padding: bool,
) -> None:
    folder = request.getfixturevalue("shared_data") / "models" / "hf-stories260K" if has_bos else tiny_model_folder
    loaded = load_for_inference(str(folder), dtype="float64")
    texts = TEXTS if needs_padding else [TEXTS[1], "y", "z"]
    condition = loaded.tokenizer.bos_token_id if has_bos else loaded.tokenizer.eos_token_id
    n_tokens = sum(len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    nats = sum(plain_nll(loaded, text, condition) for text in texts)

    found = text_likelihoods(loaded, texts, batch_size=batch_size)
    computed = metric.compute(
        nll_nats=[one.nll_nats for one in found],
        n_tokens=[one.n_tokens for one in found],
        n_bytes=[one.n_bytes for one in found],
        n_resamples=50,
    )
    assert computed["perplexity"] == pytest.approx(math.exp(nats / n_tokens), rel=1e-6)
    n_bytes = sum(len(text.encode()) for text in texts)
    assert computed["bits_per_byte"] == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-6)


def test_perplexity_is_weighted_by_tokens_and_no_mean_of_means(metric: evaluate.EvaluationModule) -> None:
    computed = metric.compute(nll_nats=[10.0, 300.0], n_tokens=[10, 100], n_bytes=[40, 410], n_resamples=50)
    assert computed["perplexity"] == pytest.approx(math.exp(310 / 110))
    assert computed["perplexity"] != pytest.approx(math.exp((10 / 10 + 300 / 100) / 2), rel=0.01)
    assert computed["perplexity"] != pytest.approx((math.exp(10 / 10) + math.exp(300 / 100)) / 2, rel=0.01)
    assert computed["bits_per_byte"] == pytest.approx(310 / math.log(2) / 450)
    assert (computed["n_documents"], computed["n_tokens"], computed["n_bytes"]) == (2, 110, 450)


def test_bits_per_byte_do_not_depend_on_how_many_tokens_the_text_was_cut_into(
    metric: evaluate.EvaluationModule,
) -> None:
    nats, n_bytes = [50.0, 80.0, 20.0], [60, 110, 30]
    words = metric.compute(nll_nats=nats, n_tokens=[15, 25, 8], n_bytes=n_bytes, seed=1)
    letters = metric.compute(nll_nats=nats, n_tokens=n_bytes, n_bytes=n_bytes, seed=1)
    assert words["bits_per_byte"] == letters["bits_per_byte"]
    assert words["ci95"]["bits_per_byte"] == letters["ci95"]["bits_per_byte"]
    assert words["perplexity"] > 2 * letters["perplexity"]


def test_the_interval_is_seeded_and_holds_the_value(metric: evaluate.EvaluationModule) -> None:
    columns = {"nll_nats": [50.0, 80.0, 20.0, 70.0], "n_tokens": [15, 25, 8, 11], "n_bytes": [60, 110, 30, 50]}
    first, again, other = (metric.compute(**columns, seed=seed, n_resamples=500) for seed in (1, 1, 2))
    assert first == again
    assert first["ci95"] != other["ci95"]
    for name in ("perplexity", "bits_per_byte"):
        low, high = first["ci95"][name]
        assert low < first[name] < high


def test_one_document_has_no_interval(metric: evaluate.EvaluationModule) -> None:
    with pytest.raises(ValueError, match="at least two documents, got 1"):
        metric.compute(nll_nats=[1.0], n_tokens=[1], n_bytes=[1])


def test_the_metric_loads_in_a_clean_home_without_any_network(tmp_path: Path) -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import evaluate\n"
        "metric = evaluate.load(sys.argv[1])\n"
        "print(metric.compute(nll_nats=[1.0, 2.0], n_tokens=[1, 2], n_bytes=[4, 4])['perplexity'])\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", script, str(METRIC_FOLDER)],
        env={**kept, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(math.e)
