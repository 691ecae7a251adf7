import math
import os
import subprocess
import sys
from pathlib import Path

import evaluate
import pytest

METRIC_FOLDER = Path(__file__).parents[3] / "pipelines/evaluation/metrics/perplexity"


@pytest.fixture(scope="module")
def metric() -> evaluate.EvaluationModule:
    return evaluate.load(str(METRIC_FOLDER), keep_in_memory=True)


def test_perplexity_is_weighted_by_tokens_and_no_mean_of_means(metric):
    computed = metric.compute(nll_nats=[10.0, 300.0], n_tokens=[10, 100], n_bytes=[40, 410], n_resamples=50)
    assert computed["perplexity"] == pytest.approx(math.exp(310 / 110))
    assert computed["perplexity"] != pytest.approx(math.exp((10 / 10 + 300 / 100) / 2), rel=0.01)
    assert computed["perplexity"] != pytest.approx((math.exp(10 / 10) + math.exp(300 / 100)) / 2, rel=0.01)
    assert computed["bits_per_byte"] == pytest.approx(310 / math.log(2) / 450)
    assert (computed["n_documents"], computed["n_tokens"], computed["n_bytes"]) == (2, 110, 450)


def test_the_metric_loads_in_a_clean_home_without_any_network(tmp_path):
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
        [sys.executable, "-c", script, str(METRIC_FOLDER)], env={**kept, "HOME": str(tmp_path)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(math.e)
