"""Limits: what got worse, what was not measured, and how few prompts the figures are based on."""

from collections.abc import Iterator
from typing import Any

from pipelines.files.visible_text import listed
from pipelines.report.comparison_record import Verdict, figure_of
from pipelines.report.figures import Unit, relative_text, value_text
from pipelines.report.model_card.card_records import CardRecords
from pipelines.report.model_card.identity import Identity

_COURSES = {
    "rose": "The held-out loss rose again before the end: the model is past its best.",
    "still falling": "The held-out loss was still falling at the end: more training may help.",
}


def limits(records: CardRecords, identity: Identity) -> list[str]:
    """Sentences, the most important first."""
    return [
        *_of_the_run(records),
        *_of_the_comparison(records),
        *_forgotten(records),
        f"Not measured: {listed([*_unmeasured(records)])}.",
        *_of_the_training(records, identity),
    ]


def _of_the_run(records: CardRecords) -> Iterator[str]:
    if records.run.get("status") != "finished":
        yield "There is no record that the run finished."
    doctor = records.run.get("doctor")
    if not doctor:
        yield "Recipe and rows were not checked before the run (the doctor was off)."
    elif doctor.get("n_errors"):
        n = doctor["n_errors"]
        yield f"The run was started despite {n:,} error{'' if n == 1 else 's'} that the doctor found."


def _of_the_comparison(records: CardRecords) -> Iterator[str]:
    comparison, model = records.comparison, records.model
    if comparison is None or model is None:
        yield "It has not been compared with its base."
        return
    worse = [one for one in comparison.compared if model.differences[one.name].verdict is Verdict.WORSE]
    for measure in worse:
        before, after = (one.figures[measure.name].text for one in (comparison.base, model))
        difference = model.differences[measure.name]
        change = difference.relative_text or difference.figure.change_with_interval
        yield f"Worse than {comparison.base.name}: {measure.full_label}, {before} → {after} ({change})."
    base = records.run.get("base") or {}
    if base.get("fingerprint") and comparison.base.fingerprint != base["fingerprint"]:
        yield "It was compared with a model that is not the base that it was trained from."
    n, decoding = comparison.record["prompts"].get("n"), comparison.record["decoding"]
    cut = decoding.get("max_new_tokens")
    yield (
        f"The figures are based on {n or 'an unknown number of'} {comparison.prompts_name}"
        + (f" and answers of at most {cut:,} tokens" if cut else "")
        + f", {_kind_of_prompts(records, comparison.record['prompts'])}."
    )


def _kind_of_prompts(records: CardRecords, prompts: dict[str, Any]) -> str:
    if prompts.get("path") == (records.run.get("dataset") or {}).get("path"):
        return "all from the sources of the training rows; requests of other kinds were not tried"
    return "all from one set; requests of other kinds were not tried"


def _forgotten(records: CardRecords) -> Iterator[str]:
    facts = (records.run.get("after_run") or {}).get("forgetting") or {}
    change = figure_of(facts["relative"]) if facts.get("relative") else None
    if change is not None and change.low > 0:
        then, now = (value_text(facts[when]["value"], Unit.BITS_PER_BYTE) for when in ("before", "after"))
        told = f"{then} → {now} bits per byte, {relative_text(change)}"
        yield f"It predicts general text worse than its base (forgetting): {told}."


def _unmeasured(records: CardRecords) -> Iterator[str]:
    record = records.comparison.record if records.comparison else {}
    details, forgetting = record.get("details") or {}, (records.run.get("after_run") or {}).get("forgetting") or {}
    if not details.get("general") and "after" not in forgetting:
        yield "forgetting of general text"
    if not details.get("capability"):
        yield "loss of other capabilities"
    if not details.get("training_rows"):
        yield "whether answers repeat training rows"
    if not record.get("judge"):
        yield "a judge's verdict on the answers"
    if not record.get("run_code"):
        yield "whether code in the answers runs"
    if not records.benchmark:
        yield "standard benchmarks"
    yield "how truthful, fair and safe the answers are"


def _of_the_training(records: CardRecords, identity: Identity) -> Iterator[str]:
    run, recipe = records.run, records.recipe
    seeds = run.get("seeds") or {}
    if seeds:
        yield f"One run with seed {seeds.get('seed')}: the variation between seeds is not measured."
    n_parameters = run.get("n_parameters")
    size = f"{n_parameters:,} parameters" if isinstance(n_parameters, int) else "a size that was not recorded"
    yield f"{'The base' if identity.base else 'The model'} has {size}; the languages of the rows were not recorded."
    if recipe.get("max_length"):
        yield f"It was trained on at most {recipe['max_length']:,} tokens at a time."
    course = ((run.get("after_run") or {}).get("loss") or {}).get("course")
    if course in _COURSES:
        yield _COURSES[course]
    if identity.is_adapter and identity.base_id is None:
        yield "Its base is not on the Hub: you need a copy of it to load this model."
