"""A judge, if wanted: another model, behind an OpenAI-compatible endpoint, says which of two answers is better."""

from pipelines.evaluation.judging.endpoint import API_KEY_VARIABLE, JudgeEndpoint
from pipelines.evaluation.judging.judgements import Judgement, Verdict, Winner
from pipelines.evaluation.judging.judging import judge_pairs, judging_cost
from pipelines.evaluation.judging.record import judge_record

__all__ = [
    "API_KEY_VARIABLE",
    "JudgeEndpoint",
    "Judgement",
    "Verdict",
    "Winner",
    "judge_pairs",
    "judge_record",
    "judging_cost",
]
