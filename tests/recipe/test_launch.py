"""What a launch asks of a machine that does not have it is one line."""

import pytest

from pipelines.errors import UserError
from pipelines.recipe import launch


@pytest.fixture
def launched(monkeypatch):
    """`refuse_impossible_launch` with the variables that `accelerate launch` sets, on a machine of 4 cores."""
    monkeypatch.setattr(launch.os, "cpu_count", lambda: 4)

    def refused(n_accelerators, keys=(), **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        launch.refuse_impossible_launch(dict(keys), n_accelerators)

    return refused


@pytest.mark.parametrize(
    ("n_accelerators", "keys", "variables", "message"),
    [
        (0, {}, {"ACCELERATE_USE_FSDP": "true"}, "FSDP needs an accelerator"),
        (0, {"fsdp": "full_shard"}, {}, "FSDP needs an accelerator"),
        (8, {"deepspeed": "zero2.json"}, {}, "DeepSpeed, which is not installed"),
        (8, {}, {"ACCELERATE_USE_DEEPSPEED": "true"}, r"pip install -e '\.\[deepspeed\]'"),
        (2, {}, {"LOCAL_WORLD_SIZE": "8"}, "8 processes .* with 2 accelerators; launch with --num_processes 2"),
        (1, {}, {"WORLD_SIZE": "2"}, "2 processes .* with 1 accelerator;"),
        (0, {}, {"LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "16"}, "8 processes .* with 4 cores and no GPU"),
    ],
)  # fmt: skip
def test_a_launch_that_the_machine_cannot_do_is_refused(launched, n_accelerators, keys, variables, message):
    with pytest.raises(UserError, match=message):
        launched(n_accelerators, keys, **variables)


@pytest.mark.parametrize(
    ("n_accelerators", "variables"),
    [
        (8, {"ACCELERATE_USE_FSDP": "true", "LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "16"}),
        (0, {"LOCAL_WORLD_SIZE": "2"}),
        (0, {"ACCELERATE_USE_FSDP": "false"}),
        (1, {}),
    ],
)
def test_a_launch_that_fits_is_not(launched, n_accelerators, variables):
    launched(n_accelerators, **variables)
