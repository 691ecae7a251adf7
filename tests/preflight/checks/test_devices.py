"""The checks of runs that FSDP shards; tests/programs/training/test_processes.py trains them."""

import pytest

from pipelines.preflight.checks import devices
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, rows_of


@pytest.fixture
def by_fsdp(monkeypatch):
    """What accelerate_configs/fsdp2.yaml sets, once the recipe is read."""
    return lambda: monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")


def found(context):
    return [finding for check in devices.CHECKS for finding in check(context)]


@pytest.mark.parametrize(("stored", "n_found"), [(None, 1), ("uint8", 1), ("bfloat16", 0), ("float32", 0)])
def test_four_bit_weights_in_a_type_that_is_not_sharded_are_a_warning(bases, tmp_path, by_fsdp, stored, n_found):
    keys = {"load_in_4bit": True, "dtype": "bfloat16"} | ({"bnb_4bit_quant_storage": stored} if stored else {})
    context = context_of(tmp_path, bases["qwen"], rows_of(4), **keys)
    assert found(context) == []
    by_fsdp()
    warnings = found(context)
    assert [one.severity for one in warnings] == [Severity.WARNING] * n_found
    assert all(one.id == "FOUR_BIT_UNSHARDED" and one.fix == {"bnb_4bit_quant_storage": "bfloat16"} for one in warnings)


def test_rows_of_new_tokens_are_an_error_and_full_fine_tuning_is_not(bases, tmp_path, by_fsdp):
    adapter = context_of(tmp_path / "adapter", bases["gpt2"], rows_of(4))  # without ChatML's tokens
    full = context_of(tmp_path / "full", bases["gpt2"], rows_of(4), use_peft=False, lora_r=None,
                      lora_target_modules=None)  # fmt: skip
    assert found(adapter) == []
    by_fsdp()
    [error] = found(adapter)
    assert (error.id, error.severity) == ("TOKEN_ROWS_SHARDED", Severity.ERROR)
    assert found(full) == []
