"""The records of the evaluation room, made by its own code from made-up answers, are what the report reads."""

import json
from pathlib import Path

import pytest

from pipelines.report import write_report
from tests.report.conftest import Page
from tests.report.sample_records import FIND_MAX, VERSIONS, requested_rows, write_json


@pytest.fixture(scope="module")
def comparison_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipelines.evaluation.comparison import comparison_of, responses_of
    from pipelines.evaluation.generation import Answer
    from pipelines.evaluation.likelihood import DocumentLikelihood
    from pipelines.evaluation.measuring import DecodingPlan, MeasuredModel, Role
    from pipelines.evaluation.prompts import Prompt
    from pipelines.modeling import PromptStyle

    rows = requested_rows(40)
    prompts = [Prompt(0, FIND_MAX, category="extra", counted=False)]
    prompts += [Prompt(number, row["instruction"], reference=row["reference"]) for number, row in enumerate(rows, 1)]
    texts = {
        "base": ["import os\n" * 9 + "import ("] * 41,
        "instruct": [p.reference or "def find_max(numbers): 1" for p in prompts],
    }
    bits = {"base": {PromptStyle.PLAIN: 90.0, PromptStyle.CHAT: 120.0}, "instruct": {PromptStyle.CHAT: 60.0}}
    models = [
        MeasuredModel(
            name=name, role=Role(name), path=f"models/{name}", fingerprint="ab" * 32,
            prompt_style=next(iter(bits[name])),
            greedy=[Answer(text, 9, name == "instruct", ()) for text in texts[name]],
            samples=[[Answer(text, 9, name == "instruct", ())] * 2 for text in texts[name]],
            likelihoods={
                style: [DocumentLikelihood(nats, 50, 100) if prompt.reference else None for prompt in prompts]
                for style, nats in bits[name].items()
            },
        )
        for name in texts
    ]  # fmt: skip
    lines = responses_of(prompts, models)
    folder = tmp_path_factory.mktemp("real")
    described = {"path": "data", "split": "test", "sha256": "0" * 64, "n": 40}
    head = {"kind": "comparison", "created": "2026-01-05T10:20:30+00:00", "versions": VERSIONS, "machine": {}}
    rest = {"prompts": described, "decoding": DecodingPlan().to_json(), "seconds": {"base": 1.0}}
    write_json(folder / "comparison.json", head | rest | comparison_of(prompts, models, lines))
    (folder / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_report_reads_what_the_comparison_writes(comparison_folder: Path) -> None:
    html, markdown = write_report(comparison_folder)
    page = Page(html.read_text())
    assert page.mistakes == []
    assert (
        "Yes. On 40 held-out prompts instruct stops by itself on 100.0% (base 0.0%) and defines the requested name on"
        in page.text
    )
    assert "response bits per byte 1.298 → 0.866: −33.3% [−33.3, −33.3]." in page.text
    assert "1.731 [1.731, 1.731] after the chat prompt" in page.text
    assert "stops by itself (sampled)" in markdown.read_text()
