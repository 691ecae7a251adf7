"""The records of the evaluation room, made by its own code from made-up answers, are what the report reads."""

import json
import re
from pathlib import Path

import pytest

from pipelines.files.visible_text import first_upper
from pipelines.report import write_report
from tests.report.conftest import Page
from tests.report.samples.sample_answers import FIND_MAX, requested_rows
from tests.report.samples.sample_records import write_json
from tests.report.samples.sample_run_records import VERSIONS


@pytest.fixture(scope="module")
def comparison_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipelines.evaluation.compare.comparison import comparison_of
    from pipelines.evaluation.compare.measuring import DecodingPlan, MeasuredModel
    from pipelines.evaluation.compare.responses import responses_of
    from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
    from pipelines.evaluation.prompts.prompt import Prompt
    from pipelines.hub.model_names import Role
    from pipelines.inference.generation import Answer
    from pipelines.modeling import PromptStyle

    rows = requested_rows(40)
    prompts = [Prompt(0, FIND_MAX, category="extra", counted=False)]
    prompts += [
        Prompt(number, row["instruction"], reference=row["reference"], category="ab"[number % 2])
        for number, row in enumerate(rows, 1)
    ]
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


def test_the_report_reads_what_the_comparison_writes(comparison_folder):
    html, markdown = write_report(comparison_folder)
    record = json.loads((comparison_folder / "comparison.json").read_text())
    page = Page(html.read_text())
    assert page.mistakes == []
    for line in record["summary"]["instruct"].values():
        text = line["text"].replace("->", "→").replace("<=", "≤")
        assert f"{first_upper(text)}." in page.text
    assert record["warnings"] == []
    assert re.search(
        r"Stops on its own higher is better · n = 40 base0\.0% .* instruct100\.0%.* \+100\.0 points ▲ better", page.text
    )
    assert re.search(r"1\.298 \[1\.298, 1\.298\].*0\.866 .* −33\.3% \[−33\.3, −33\.3\]", page.text)
    assert "After the chat prompt they are 1.731 [1.731, 1.731]." in page.text
    assert "gained: stops on its own (40)" in page.text
    assert "b (n = 20) a (n = 20)" in page.text
    assert re.search(r"chrF ?higher is better", page.text)
    assert "| stops on its own (higher is better; n = 40) |" in markdown.read_text()
