"""Run programs one after the other in the same processes: libraries are imported once for all.

    python tests/processes/several_runs.py CALLS

CALLS is a JSON file: a list of [program, argument, ...], such as ["sft", "--config", "recipe.yaml"]. Each process does
them in a folder of its own beside that file, rank0 or rank1, so relative paths show which process wrote what.
"""

import importlib
import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    path = Path(sys.argv[1]).resolve()
    here = path.parent / f"rank{os.environ.get('RANK', '0')}"
    here.mkdir(exist_ok=True)
    os.chdir(here)
    for program, *arguments in json.loads(path.read_text()):
        os.environ.pop("ACCELERATE_USE_FSDP", None)  # fsdp_on_processors.py sets it once the recipe is read
        importlib.import_module(f"pipelines.{program}").main(arguments)
