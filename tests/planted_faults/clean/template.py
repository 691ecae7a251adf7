"""Templates and tokens that look like a fault and are none."""

from pathlib import Path

import torch

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.faults.model import as_instruct_model
from tests.planted_faults.faults.template import change_rows
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import as_messages, rows_in


def _with_reserved_rows_of_zero(base: Path) -> None:
    """As Llama 3's base has them: no template, and rows that the run trains as those of new tokens."""

    def change(weight: torch.Tensor, ids: list[int]) -> None:
        weight[ids] = 0

    change_rows(base, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), change)


def reserved_tokens_of_llama3() -> Pair:
    return Pair(rows_in("english"), change_base=_with_reserved_rows_of_zero)


def instruct_model_in_its_own_template() -> Pair:
    rows = [{"messages": as_messages(row)} for row in rows_in("english")]
    return Pair(rows, change_base=as_instruct_model, base_name="Qwen2.5-0.5B-Instruct")


CLEAN_PAIRS = (
    CleanPair("reserved tokens that were never trained", Family.LLAMA3, reserved_tokens_of_llama3),
    CleanPair("an instruct model in its own template", Family.CHATML, instruct_model_in_its_own_template),
)
