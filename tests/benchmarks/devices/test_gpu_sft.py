"""The GPU benchmark at toy size on the CPU: both trainers run and fill their row of the table."""

import re

import pytest

from tests.benchmarks.devices.gpu_sft import CASES, lines


@pytest.mark.slow
def test_both_trainers_train_the_same_packed_rows():
    rows = list(lines(CASES[:1], float("inf"), None, toy=True))[2:]
    numbers = [re.fullmatch(r"\| qwen2.5-0.5b LoRA \| (.+) \| ([\d,]+) \|  \|  \| ([\d.]+) \| .*", row) for row in rows]
    assert [found and found[1] for found in numbers] == ["this project", "TRL"]
    losses = [float(found[3]) for found in numbers if found]
    assert abs(losses[0] - losses[1]) < 0.05


def test_what_a_time_limit_leaves_out_is_said():
    rows = list(lines(CASES[:1], -1, None, toy=True))[2:]
    assert len(rows) == 2
    assert all("out of time" in row for row in rows)
