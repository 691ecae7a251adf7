"""Turn the flags of compare.py into a plan, with all checks before a model is loaded."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from pipelines.endpoint.client import Endpoint
from pipelines.errors import UserError
from pipelines.evaluation.compare.flags import ANSWERS_SO_FAR
from pipelines.evaluation.compare.measuring import DecodingPlan, MeasuredModel, MeasurementPlan, prompt_formats
from pipelines.evaluation.judge.judging import judge_endpoint
from pipelines.evaluation.likelihood.evaluation_data import EvaluationData
from pipelines.evaluation.prompts.few_shot import FewShotPool
from pipelines.evaluation.prompts.given_template import GivenTemplate
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import describe_prompts
from pipelines.inference.answer_store import AnswerStore
from pipelines.inference.processes import processes
from pipelines.modeling import PromptStyle
from pipelines.records import describe_machine, read_record, versions


def attached_records(flags: Namespace) -> dict[str, Mapping[str, Any]]:
    """Read the records of other programs for the report, by their names next to comparison.json. Raises `UserError` for
    one that is missing or of another program."""
    attached: dict[str, Mapping[str, Any]] = {}
    for kind, path in (("perplexity", flags.perplexity), ("benchmark", flags.benchmark)):
        if path is None:
            continue
        record = attached[f"{kind}.json"] = read_record(path)
        if record.get("kind") != kind:
            problem = f"{path} is a record of kind {record.get('kind')!r}, expected {kind!r}"
            raise UserError(problem, f"give the file that {kind}.py wrote with --output")
    return attached


def plan_of(flags: Namespace, prompts: Sequence[Prompt], engines: Mapping[str, Endpoint]) -> MeasurementPlan:
    """The plan for each model. Raises `UserError` for invalid values and for files that cannot be measured on. All
    processes wait for each other here, before one of them writes an answer."""
    processes().wait_for_everyone()
    return MeasurementPlan(
        DecodingPlan(flags.max_new_tokens, flags.num_samples, flags.temperature, flags.top_p, flags.seed),
        PromptStyle(flags.base_prompt_style),
        flags.dtype or ("auto" if torch.cuda.is_available() else "float32"),
        flags.batch_size,
        AnswerStore(flags.output / ANSWERS_SO_FAR),
        flags.show_probabilities,
        GivenTemplate.read(flags.chat_template),
        FewShotPool.read(flags.base_few_shot, flags.prompts, flags.few_shot_from, prompts, flags.seed),
        EvaluationData.read(flags.general, flags.capability, flags.training_rows),
        engines,
    )


def provenance_of(
    flags: Namespace, plan: MeasurementPlan, prompts: Sequence[Prompt], models: Sequence[MeasuredModel]
) -> dict[str, Any]:
    """The head of comparison.json: what was measured, when, where and how."""
    return {
        "kind": "comparison",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": describe_machine(),
        "prompts": describe_prompts(flags.prompts, flags.split, prompts) | prompt_formats(models, plan),
        "decoding": plan.decoding.to_json() | {"engine": _engines_of(models), "dtype": plan.dtype},
        "n_processes": processes().num_processes,
    }


def _engines_of(models: Sequence[MeasuredModel]) -> str | dict[str, str]:
    """What answered: transformers for all models, or the name of each model's engine."""
    names = {model.name: str(model.engine["name"]) if model.engine else "transformers" for model in models}
    return names if any(model.engine for model in models) else "transformers"


def judge_of(flags: Namespace) -> Endpoint | None:
    """The judge, None without one. Raises `UserError` for a URL without a model or the reverse, and an invalid URL."""
    if (flags.judge_url is None) != (flags.judge_model is None):
        raise UserError("only one of --judge_url and --judge_model is given", "give both, or neither")
    if flags.judge_url is None:
        return None
    return judge_endpoint(flags.judge_url, flags.judge_model)
