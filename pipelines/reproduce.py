r"""Run a locked run again and compare: the same weights and loss curve, or what differs and by how much.

    python pipelines/reproduce.py runs/my-instruct

    python pipelines/reproduce.py lock.json --dataset_name DIR --output_dir runs/again --check_only

Input: the lock.json that sft.py, dpo.py and pretrain.py write, or its run folder, as the first argument; then flags.
Any recipe key is a flag too: --dataset_name names the path of the data here, and its fingerprint shows whether it is
the same. Relative paths in a lock refer to the folder in which its run was started, so start there. First the program
lists every difference: base, data split by split, tokenizer, chat template, recipe, code, versions, machine. If the
inputs differ, or the run was resumed with another recipe, it stops (--anyway runs it); other versions, code or machines
do not stop it.

Output: a run folder (--output_dir, by default the lock's folder with -reproduced appended), made by the same program
with as many processes and threads, and in it reproduction.json: differences, both hashes of the weights, the largest
difference of the losses. Exit code 0 if the result is bit-identical, or if versions, code or machine differ and no
logged loss differs by more than --tolerance, a share of the mean loss; else 1. Expect identical bits on the same kind
of machine only; on a GPU set full_determinism: true in the recipe.
"""

from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import ArgumentParser, not_negative, run_program
from pipelines.errors import AnswerIsNo

_TOLERANCE = 0.02


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, run again, compare, write the record."""
    flags, recipe_keys = _parser().parse_known_args(arguments)

    from pipelines.files import refuse_existing, refuse_missing, write_json_atomically
    from pipelines.records import read_lock
    from pipelines.reproduction.differences import differences, inputs_among
    from pipelines.reproduction.locked_recipe import locked_recipe
    from pipelines.reproduction.outcome import Verdict, outcome, refuse_unfinished

    refuse_missing(accelerate_config=flags.accelerate_config)
    lock = read_lock(flags.lock)
    refuse_unfinished(lock)
    output = flags.output_dir or Path(f"{lock['recipe'].get('output_dir', 'run')}-reproduced")
    if not flags.check_only:
        refuse_existing(output, "choose another --output_dir")
    with locked_recipe(lock, recipe_keys, output) as again:
        from pipelines.reproduction.inputs_here import lock_here  # these import torch
        from pipelines.reproduction.running import run_again

        found = differences(lock, lock_here(lock, again))
        for one in found:
            print(one.line(), flush=True)
        if inputs_among(found) and not flags.anyway:
            raise AnswerIsNo(
                f"this would be another run: {'; '.join(one.line() for one in inputs_among(found))}. Nothing was run; "
                "--anyway runs it"
            )
        if flags.check_only:
            print("the run can be reproduced here" + ("" if found else ", where nothing differs"))
            return
        run_again(again, lock, flags.accelerate_config)
    result = outcome(lock["result"], read_lock(output)["result"], found, flags.tolerance)
    write_json_atomically(output / "reproduction.json", result.to_json())
    print(*result.lines(), f"record written to {output / 'reproduction.json'}", sep="\n")
    if result.verdict is Verdict.DIFFERS:
        raise AnswerIsNo(result.why_not())


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("lock", type=Path, metavar="LOCK_FILE_OR_RUN_DIR", help="lock.json, or the folder that contains it")
    add("--output_dir", type=Path, metavar="DIR", help="new run folder (default: the locked one + -reproduced)")
    add("--check_only", action="store_true", help="list what differs here and run nothing")
    add("--anyway", action="store_true", help="run even if inputs differ")
    add(
        "--tolerance",
        type=not_negative,
        default=_TOLERANCE,
        metavar="SHARE",
        help=f"allowed difference of losses, a share of the mean loss (default {_TOLERANCE})",
    )
    add("--accelerate_config", type=Path, metavar="FILE", help="config for several processes (default: this project's)")
    return parser


if __name__ == "__main__":
    run_program(main)
