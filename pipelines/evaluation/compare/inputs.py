"""The flags of compare.py -> what it measures, checked as a whole before a model is loaded."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from pipelines.errors import UserError
from pipelines.evaluation.compare.flags import ANSWERS_SO_FAR
from pipelines.evaluation.compare.measuring import DecodingPlan, MeasuredModel, MeasurementPlan, how_prompted
from pipelines.evaluation.judge.endpoint import JudgeEndpoint
from pipelines.evaluation.likelihood.plan import BeyondPlan
from pipelines.evaluation.prompts.few_shot import FewShotPool
from pipelines.evaluation.prompts.given_template import GivenTemplate
from pipelines.evaluation.prompts.prompt_sets import Prompt, describe_prompts
from pipelines.inference.answer_store import AnswerStore
from pipelines.inference.processes import processes
from pipelines.modeling import PromptStyle
from pipelines.records import describe_machine, read_record, versions


def attached_records(flags: Namespace) -> dict[str, Mapping[str, Any]]:
    """The records of other programs to show in the report, by their names beside comparison.json.

    Raises `UserError` for one that is absent or of another program.
    """
    attached: dict[str, Mapping[str, Any]] = {}
    for kind, path in (("perplexity", flags.perplexity), ("benchmark", flags.benchmark)):
        if path is None:
            continue
        attached[f"{kind}.json"] = read_record(path)
        if attached[f"{kind}.json"].get("kind") != kind:
            raise UserError(
                expected=f"a record of {kind}.py in {path}",
                got=f"kind {attached[f'{kind}.json'].get('kind')!r}",
                remedy=f"give the file that {kind}.py wrote with --output",
            )
    return attached


def plan_of(flags: Namespace, prompts: Sequence[Prompt]) -> MeasurementPlan:
    """What is measured of each model. Raises `UserError` for values and files that nothing can be measured with.

    All processes meet here, before one of them writes an answer.
    """
    processes().wait_for_everyone()
    beyond = BeyondPlan(flags.general, flags.capability, flags.training_rows)
    beyond.refuse_unusable()
    return MeasurementPlan(
        DecodingPlan(flags.max_new_tokens, flags.num_samples, flags.temperature, flags.top_p, flags.seed),
        PromptStyle(flags.base_prompt_style),
        flags.dtype or ("auto" if torch.cuda.is_available() else "float32"),
        flags.batch_size,
        AnswerStore(flags.output / ANSWERS_SO_FAR),
        flags.show_probabilities,
        GivenTemplate.read(flags.chat_template),
        FewShotPool.read(flags.base_few_shot, flags.prompts, flags.few_shot_from, prompts, flags.seed),
        beyond,
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
        "prompts": describe_prompts(flags.prompts, flags.split, prompts) | how_prompted(models, plan),
        "decoding": plan.decoding.to_json() | {"engine": "transformers", "dtype": plan.dtype},
        "n_processes": processes().num_processes,
    }


def judge_of(flags: Namespace) -> JudgeEndpoint | None:
    """The judge, None if none is wanted. Raises `UserError` for half of one, or a URL that is none."""
    if (flags.judge_url is None) != (flags.judge_model is None):
        raise UserError(
            expected="--judge_url and --judge_model together",
            got="one of them",
            remedy="give both, or neither",
        )
    if flags.judge_url is None:
        return None
    return JudgeEndpoint.with_key_from_environment(flags.judge_url, flags.judge_model)
