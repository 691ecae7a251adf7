"""The names of models in records and tables, and their roles in a comparison. Everything here works without torch."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import chain, count

from pipelines.hub.model_ref import ModelRef


class Role(StrEnum):
    """A model's role in a comparison."""

    BASE = "base"
    FEW_SHOT_BASE = "few_shot_base"
    INSTRUCT = "instruct"


def distinct_names(models: Sequence[ModelRef]) -> list[str]:
    """The short name of each model, numbered if it is taken."""
    names: list[str] = []
    for one in models:
        names.append(_new_name(one.short_name, names))
    return names


def compared_names(models: Sequence[ModelRef]) -> list[str]:
    """Names in records for a base and the models compared with it: "base", then "instruct" for one model, or the short
    name of each of several, numbered if it is taken."""
    names = [Role.BASE.value]
    for one in models[1:]:
        names.append(_new_name((one.short_name if len(models) > 2 else "") or Role.INSTRUCT.value, names))
    return names


def _new_name(name: str, taken: Sequence[str]) -> str:
    """`name`, with the first number from 2 on that makes it new if it is taken."""
    numbered = (f"{name}_{number}" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)
