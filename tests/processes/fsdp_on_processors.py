"""Run a program with FSDP on processors, over gloo, as one rank of several:

    python tests/processes/fsdp_on_processors.py accelerate_configs/fsdp2.yaml pipelines/sft.py --config RECIPE ...

torch shards on processors, but accelerate asks for an accelerator before it does: without one it takes data parallelism
and says nothing, which the programs refuse. Here it is told that the processes have accelerators. Sharding, gathering,
training and saving are the libraries' own.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env

_OF_SHARDING = ("ACCELERATE_USE_FSDP", "FSDP_", "PARALLELISM_CONFIG_", "ACCELERATE_USE_PARALLELISM_CONFIG")


def variables_of(config: str) -> dict[str, str]:
    """The variables of sharding that `accelerate launch --config_file CONFIG` gives each rank."""
    arguments, *_ = _validate_launch_command(
        launch_command_parser().parse_args(["--config_file", config, "program.py"])
    )
    found = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in found.items() if name.startswith(_OF_SHARDING)}


def shard(variables: dict[str, str]) -> None:
    """Give accelerate the variables once the processes are connected, and accelerators."""
    connect = PartialState.__init__

    def connect_and_shard(self: PartialState, *arguments: Any, **options: Any) -> None:
        connect(self, *arguments, **options)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU
        os.environ.update(variables)

    PartialState.__init__ = connect_and_shard


if __name__ == "__main__":
    config, program, *rest = sys.argv[1:]
    shard(variables_of(config))
    sys.argv = [program, *rest]
    sys.path[0] = str(Path(program).parent)
    runpy.run_path(program, run_name="__main__")
