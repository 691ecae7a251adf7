"""The lines of responses.jsonl: each prompt with every model's answers and their checks."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.evaluation.code_execution.execution import execution_results
from pipelines.evaluation.code_execution.sandbox import RunLimits, RunResult
from pipelines.evaluation.compare.measuring import MeasuredModel
from pipelines.evaluation.compare.metric_tables import headline_likelihoods
from pipelines.evaluation.judge.judgements import judge_record
from pipelines.evaluation.judge.judging import judge_pairs, judging_cost
from pipelines.evaluation.metrics.registry import response_checks
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.inference.generation import Answer


def responses_of(
    prompts: Sequence[Prompt], models: Sequence[MeasuredModel], *, run_code: RunLimits | None = None
) -> list[dict[str, Any]]:
    """One line for each prompt; with `run_code` the Python of the answers is run within those limits. Raises
    `UserError` where there is no sandbox."""
    columns = {model.name: _answers_of(model, prompts, run_code) for model in models}
    lines = []
    for place, prompt in enumerate(prompts):
        requested = prompt.requested
        lines.append(
            {
                "id": prompt.id,
                "instruction": prompt.instruction,
                "input": prompt.input,
                "messages": prompt.messages if prompt.context is not None else None,
                "group": prompt.group,
                "reference": prompt.reference,
                "category": prompt.category,
                "counted": prompt.counted,
                "requested": {"name": requested.name, "parameters": list(requested.parameters)} if requested else None,
                "constraints": [one.name for one in prompt.constraints],
                "answers": {name: column[place] for name, column in columns.items()},
            }
        )
    return lines


def judge_responses(
    prompts: Sequence[Prompt], lines: Sequence[dict[str, Any]], names: Sequence[str], endpoint: Endpoint, kept: Path
) -> dict[str, Any]:
    """Let a judge compare each model's greedy answers with the base's, the first of `names`, on the counted lines.

    Adds `judgements` to the lines and returns `judge` of comparison.json. Raises `UserError` if the judge cannot be
    reached; the replies so far stay in the file `kept`.
    """
    base, *others = names
    counted = [line for line in lines if line["counted"]]
    prompts = [prompt for prompt in prompts if prompt.counted]
    texts = {name: [line["answers"][name]["greedy"]["text"] for line in counted] for name in names}
    judgements = {}
    for name in others:
        print(judging_cost(prompts, texts[base], texts[name], endpoint, kept), file=sys.stderr)
        judgements[name] = judge_pairs(prompts, texts[base], texts[name], endpoint, cache_file=kept)
        n_without = sum(one.verdict is None for one in judgements[name])
        if n_without:
            print(f"judge: {n_without} of {len(prompts)} pairs of {name} without a verdict", file=sys.stderr)
        for line, judgement in zip(counted, judgements[name], strict=True):
            line.setdefault("judgements", {})[name] = judgement.to_json()
    return judge_record(judgements, endpoint, [prompt.dependence for prompt in prompts])


def _answers_of(model: MeasuredModel, prompts: Sequence[Prompt], run_code: RunLimits | None) -> list[dict[str, Any]]:
    """The model's entry in `answers` of each line."""
    likelihoods = headline_likelihoods(model, prompts)
    samples: Sequence[Sequence[Answer]] = model.samples or [[] for _ in prompts]
    answers = [[first, *own] for first, own in zip(model.greedy, samples, strict=True)]
    executed: list[list[RunResult | None]] = [[None] * len(own) for own in answers]
    if run_code is not None:
        executed = execution_results(prompts, answers, run_code)
    column = []
    for place, prompt in enumerate(prompts):
        first, *others = executed[place]
        greedy = _checked(model.greedy[place], prompt, first)
        if place in model.token_choices:
            tokens = [choice.to_json() for choice in model.token_choices[place]]
            greedy["tokens"] = [{key: one[key] for key in ("token", "probability", "alternatives")} for one in tokens]
        checked = [_checked(answer, prompt, one) for answer, one in zip(samples[place], others, strict=True)]
        likelihood = likelihoods[place]
        bits = likelihood.bits / likelihood.n_bytes if likelihood and likelihood.n_bytes else None
        column.append({"greedy": greedy, "samples": checked, "response_bits_per_byte": bits})
    return column


def _checked(answer: Answer, prompt: Prompt, executed: RunResult | None) -> dict[str, Any]:
    checks: dict[str, Any] = dict(response_checks(prompt.checked(answer)))
    if executed is not None:
        checks |= {"runs": executed.runs, "passes_tests": executed.passes_tests}
        if not executed.runs or executed.passes_tests is False:
            checks["why_it_failed"] = f"{executed.outcome.value}: {executed.reason}".rstrip(": ")
    return {"text": answer.text, "n_tokens": answer.n_tokens, "stopped": answer.stopped, "checks": checks}
