"""Where a run can happen on one machine's processors: one process, two with DDP, two with FSDP2, two machines."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = PROJECT / "accelerate_configs"
_LAUNCHER = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]


class Place(StrEnum):
    """Processes and how they share the work."""

    ONE = "one process"
    DDP = "DDP"
    FSDP2 = "FSDP2"
    MACHINES = "two machines"


def commands(place: Place, program: Sequence[str | Path], config: str = "fsdp2.yaml") -> list[list[str]]:
    """The commands to start at the same time. FSDP2 has the sharding keys of `config`."""
    call = [str(word) for word in program]
    if place is Place.ONE:
        return [[sys.executable, *call]]
    if place is Place.DDP:
        return [[*_LAUNCHER, str(CONFIGS / "cpu_ddp.yaml"), *call]]
    if place is Place.FSDP2:
        shard = [str(PROJECT / "tests/processes/fsdp_on_processors.py"), str(CONFIGS / config)]
        return [[*_LAUNCHER, str(CONFIGS / "cpu_ddp.yaml"), *shard, *call]]
    meeting = ["--num_processes", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port())]
    here = [*_LAUNCHER, str(CONFIGS / "multi_node.yaml"), *meeting, "--mixed_precision", "no", "--machine_rank"]
    return [[*here, str(rank), *call] for rank in range(2)]


def start(place: Place, program: Sequence[str | Path], config: str = "fsdp2.yaml") -> "list[subprocess.Popen[str]]":
    """Start `program` at `place`: a process, or one for each machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return [
        subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for command in commands(place, program, config)
    ]


def run(place: Place, program: Sequence[str | Path], config: str = "fsdp2.yaml") -> str:
    """What `program` at `place` printed, machine by machine; asserts that it ended well."""
    machines = start(place, program, config)
    said = [machine.communicate(timeout=600)[0] for machine in machines]
    assert all(machine.returncode == 0 for machine in machines), "\n".join(said)[-6000:]
    return "".join(said)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
