"""Template -> the text of README.md."""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment

from pipelines.files import write_text_atomically
from pipelines.files.visible_text import excerpt, markdown_text
from pipelines.hub.local_paths import without_local_paths
from pipelines.hub.unmerged import serving_sentence
from pipelines.records.kept_checkpoint import kept_lines
from pipelines.report.answers.answers import Prompt, shown_prompts
from pipelines.report.doctor.postflight_results import check_results
from pipelines.report.measures import measure_tables
from pipelines.report.model_card.card_records import CardRecords, read_card_records
from pipelines.report.model_card.data import license_table, reject_table, source_lines, split_table, works_of
from pipelines.report.model_card.identity import Identity, identity_of
from pipelines.report.model_card.licenses import proposed_license
from pipelines.report.model_card.limits import limits
from pipelines.report.model_card.loading import loading_snippet, snippet_prompt, vllm_command, why_peft_only
from pipelines.report.model_card.metadata import card_metadata
from pipelines.report.model_card.training import cost, curve_table, held_out_table, kept_table
from pipelines.report.provenance import flat_pairs, ledger_pairs, pinned
from pipelines.report.reading import parsed
from pipelines.report.rendering import environment_with
from pipelines.report.served import served_line
from pipelines.report.summary import summaries
from pipelines.report.writing import EXAMPLE_RULE, N_EXAMPLES, examples

MAX_ANSWER_CHARACTERS = 600


def write_card(run_folder: Path) -> None:
    """Write the card of a run that nobody has compared yet as README.md of its folder, over the template that PEFT or
    TRL left there. Raises as `model_card`."""
    write_text_atomically(run_folder / "README.md", model_card(run_folder))


def model_card(
    run_folder: Path,
    *,
    comparison_folder: Path | None = None,
    repo_id: str | None = None,
    base_model: str | None = None,
    revision: str | None = None,
) -> str:
    """The card of the model in `run_folder`, from its records and those of `comparison_folder`: Markdown with the Hub's
    metadata.

    `repo_id` and `revision` are where the card says that the model is loaded from (the folder without them),
    `base_model` the Hub id of a base that was a local folder. Raises `UserError` without run.json, for a broken record,
    for a comparison in which this run is not, and for a `base_model` that can be no Hub id.
    """
    records = read_card_records(run_folder, comparison_folder)
    content = parsed(run_folder, lambda found: _content(found, repo_id, base_model, revision), records)
    return _environment().get_template("model_card.md.j2").render(content)


@cache
def _environment() -> Environment:
    return environment_with(
        {
            "md": lambda text: markdown_text(text).replace("\\\\", "&#92;"),  # the Hub reads KaTeX between \\[ and \\]
            "excerpt": lambda text: excerpt(text, MAX_ANSWER_CHARACTERS),
        }
    )


def _content(records: CardRecords, repo_id: str | None, base_model: str | None, revision: str | None) -> dict[str, Any]:
    """Everything that the template names."""
    identity = identity_of(records, repo_id, base_model)
    works = works_of(records, identity)
    license = proposed_license(works)
    shown, name = _examples(records), repo_id or str(without_local_paths(str(records.folder)))
    return {
        "metadata": card_metadata(records, identity, license, repo_id, revision).to_yaml(),
        "identity": identity,
        "license": license,
        "licenses": license_table(works) if works else None,
        "snippet": _snippet(records, identity, name, revision, shown),
        "served": served_line(records.served) if records.served else None,
        "why_peft_only": why_peft_only(records.adapter or {}),
        "serving": serving_sentence(records.adapter) if records.adapter else "",
        "vllm_command": vllm_command(name, identity.base, records.adapter) if records.adapter and not revision else "",
        "summary": summaries(records.comparison)[0] if records.comparison else None,
        "comparison": records.comparison,
        "measures": measure_tables(records.comparison) if records.comparison else None,
        "examples": shown,
        "example_rule": EXAMPLE_RULE,
        "limits": limits(records, identity),
        **_data_content(records),
        **_training_content(records),
    }


def _examples(records: CardRecords) -> list[Prompt]:
    if records.comparison is None:
        return []
    return examples(shown_prompts(records.responses, records.comparison), N_EXAMPLES)


def _snippet(records: CardRecords, identity: Identity, name: str, revision: str | None, shown: list[Prompt]) -> str:
    decoding = records.comparison.record["decoding"] if records.comparison else {}
    return loading_snippet(
        name,
        snippet_prompt(shown),
        is_adapter=identity.is_adapter,
        has_template=bool(records.run.get("template_sha256")),
        revision=revision,
        max_new_tokens=decoding.get("max_new_tokens"),
    )


def _data_content(records: CardRecords) -> dict[str, Any]:
    manifest = records.manifest
    return {
        "splits": split_table(manifest) if manifest else None,
        "rejects": reject_table(manifest) if manifest else None,
        "sources": list(source_lines(manifest)) if manifest else [],
        "data_command": _shown_command(str(manifest.get("command") or "")) if manifest else "",
        "ledger": list(ledger_pairs(records.ledger or {})),
    }


def _training_content(records: CardRecords) -> dict[str, Any]:
    program, best = str(records.run.get("program") or "sft"), records.run.get("best_checkpoint")
    recipe = yaml.safe_dump(without_local_paths(dict(records.recipe)), sort_keys=False, allow_unicode=True)
    return {
        "curve": curve_table(records.log_history),
        "kept": kept_table(best) if best else None,
        "kept_lines": kept_lines(best) if best else [],
        "held_out": held_out_table(records.run.get("metrics") or {}),
        "cost": cost(records.run),
        "recipe": recipe.rstrip(),
        "command": f"python pipelines/{shlex.quote(program)}.py --config recipe.yaml",
        "has_lock": records.lock is not None,
        "pinned": list(flat_pairs(without_local_paths(pinned(records.lock, records.run)), whole_hashes=True)),
        **check_results(records.run),
    }


def _shown_command(command: str) -> str:
    """A command line whose paths are cut in quotes and behind `--flag=` too."""
    return "".join(without_local_paths(re.split(r"([\s'\"=]+)", command)))
