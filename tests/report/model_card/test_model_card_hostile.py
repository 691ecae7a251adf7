"""No text of a row, a model, a recipe or a name can leave its place on a card, in its YAML or in its Markdown."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from pipelines.files.visible_text import visible
from pipelines.report.model_card.loading import loading_snippet
from pipelines.report.model_card.writing import model_card
from tests.report.conftest import Page
from tests.report.samples.hostile_records import HOSTILE, NAME, write_hostile_records
from tests.report.samples.sample_card import change_run, lock, manifest
from tests.report.samples.sample_records import write_json
from tests.report.test_markdown import outside_of_fences

TITLES = (
    "How to load it", "Is it better than its base?", "Answers side by side", "Limits", "Data", "License", "Training",
    "Before the run", "After the run", "Reproduce",
)  # fmt: skip
BREAKS = "a\n---\nlicense: mit\n---\n# mine \\(x\\) $$y$$ <script>alert(3)</script> | `b`"


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A card of which every text that somebody can choose tries to break out."""
    folder = tmp_path_factory.mktemp("hostile")
    compared, trained = write_hostile_records(folder)
    _rename_models(compared / "comparison.json", trained)
    data = folder / "data"
    data.mkdir()
    source = {"name": BREAKS, "revision": NAME, "n_rows": 3}
    rejected = {HOSTILE[0]: 1, BREAKS: 2}
    write_json(data / "manifest.json", manifest() | {"sources": [source], "n_rejected": rejected, "command": BREAKS})
    change_run(
        trained,
        program=BREAKS,
        base={"path": BREAKS, "fingerprint": "hub:" + BREAKS},
        adapter={"path": NAME},
        dataset={"path": str(data), "n_rows": 2784},
        machine={"processor": BREAKS, "accelerators": [HOSTILE[5]]},
    )
    write_json(trained / "adapter_config.json", {"peft_type": BREAKS, "r": NAME})
    licenses = [{"source": text, "license": text[:40]} for text in (*HOSTILE[:8], BREAKS)]
    train = lock()["datasets"][0] | {"path": BREAKS, "licenses": licenses}
    broken = lock(base={"name_or_path": BREAKS, "license": BREAKS}, datasets=[train], versions={BREAKS: HOSTILE[1]})
    write_json(trained / "lock.json", broken)
    return model_card(trained, comparison_folder=compared, repo_id=BREAKS, revision=BREAKS)


def _rename_models(path: Path, trained: Path) -> None:
    record: dict[str, Any] = json.loads(path.read_text())
    record["models"][NAME]["path"] = str(trained)
    record["prompts"] |= {"path": BREAKS, "split": BREAKS}
    write_json(path, record)


def test_the_metadata_are_whole_and_end_where_they_end(card):
    found = ModelCard(card)
    assert str(found) == card
    assert found.data.get("license") == "unknown"
    assert set(yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))) <= {
        "library_name", "license", "license_name", "pipeline_tag", "tags", "model-index",
    }  # fmt: skip
    assert found.text.startswith("\n# ")


def test_rendered_as_markdown_it_has_the_cards_own_elements_and_no_others(card):
    markdown_it = pytest.importorskip("markdown_it")
    html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(ModelCard(card).text)
    page = Page(f"<body>{html}</body>")
    assert not page.mistakes
    assert {tag for tag, _ in page.elements} == {
        "body", "h1", "h2", "h3", "p", "blockquote", "strong", "code", "pre", "ul", "li", "table", "thead", "tbody",
        "tr", "th", "td", "details", "summary",
    }  # fmt: skip
    own = [title for tag in ("h1", "h2", "h3") for title in page.texts[tag]]
    assert len(own) == len(TITLES) + 1
    assert set(own[1:]) == set(TITLES)
    assert len(page.texts["details"]) == 2


def test_nothing_outside_of_code_is_katex(card):
    page = "\n".join(outside_of_fences(ModelCard(card).text)[0])
    page = re.sub(r"``.*?``", "", page)
    assert "\\(" not in page
    assert "$$" not in page


def test_every_table_keeps_its_columns(card):
    widths: list[int] = []
    for line in outside_of_fences(ModelCard(card).text)[0]:
        widths = [*widths, len(re.findall(r"(?<!\\)\|", line))] if line.startswith("|") else []
        assert not widths or widths[-1] == widths[0], line


def test_nothing_hides_or_reorders_text(card):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", card)
    assert len(card) - len(HOSTILE[16]) < 60_000, "the recipe has the longest text whole, and nothing else has"
    card.encode()


@pytest.mark.parametrize("text", [visible(text) for text in (*HOSTILE[:16], BREAKS)])
def test_a_prompt_is_a_string_in_the_snippet_and_nothing_else(text):
    for has_template in (True, False):
        snippet = loading_snippet(
            text, text, is_adapter=True, has_template=has_template, revision=text, max_new_tokens=None
        )
        tree = ast.parse(snippet)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert names <= {
            "AutoPeftModelForCausalLM", "AutoTokenizer", "GenerationConfig", "name", "model", "tokenizer", "ends",
            "messages", "prompt", "ids", "answer", "print",
        }  # fmt: skip
        assert [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)].count(text) == 5
