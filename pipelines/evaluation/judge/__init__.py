"""A judge, if wanted: another model, behind an OpenAI-compatible endpoint, says which of two answers is better."""

from pipelines.evaluation.judge.endpoint import API_KEY_VARIABLE, JudgeEndpoint
from pipelines.evaluation.judge.judgements import Judgement, Verdict, Winner
from pipelines.evaluation.judge.judging import judge_pairs, judging_cost
from pipelines.evaluation.judge.record import judge_record

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
