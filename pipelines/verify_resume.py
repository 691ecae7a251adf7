r"""Prove for a recipe that a killed run continues exactly: some steps straight, and the same steps killed and resumed.

    python pipelines/verify_resume.py --config recipes/quickstart/sft/lora.yaml --dataset_name data/my-rows --steps 8

Input: a recipe of sft.py, dpo.py or pretrain.py, and any of its keys as --key value. The program runs three times as a
process of its own, without the doctor, uploads and trackers: --steps steps straight; the same steps, killed (SIGKILL)
once the checkpoint of half of them is whole; the second run again with --resume. Then both run folders are compared:
the log of every step, weights, optimizer, schedule and random state in each checkpoint, the final model, ledger,
row losses, samples and the counts of run.json.

Output: the first step, the first checkpoint and every file that differ. --output keeps both run folders and
resume.json in a folder.
Exit code 0: equal to the bit. 1: something differs. 2: a run did not finish.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.command_line import ArgumentParser, positive_number, run_program
from pipelines.errors import AnswerIsNo, UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run straight, killed and resumed; compare."""
    flags, keys = _parser().parse_known_args(arguments)
    if flags.steps < 2 or flags.steps % 2:
        raise UserError(f"--steps is {flags.steps}, expected an even number", "choose 2, 4, 8, ...")
    from pipelines.files import refuse_existing, write_json_atomically
    from pipelines.recipe import stage_of, written_keys

    if flags.output:
        refuse_existing(flags.output)
    stage = stage_of(flags.config, written_keys(["--config", str(flags.config), *keys]))
    from pipelines.reproduction.equal_runs import compare_runs
    from pipelines.reproduction.resume_proof import run_killed_and_resumed, run_straight

    place = nullcontext(str(flags.output)) if flags.output else TemporaryDirectory(prefix="verify-resume-")
    with place as folder:
        recipe = ["--config", str(flags.config), *keys]
        straight, resumed = Path(folder) / "straight", Path(folder) / "resumed"
        run_straight(stage, recipe, flags.steps, straight)
        run_killed_and_resumed(stage, recipe, flags.steps, resumed)
        found = compare_runs(straight, resumed)
        if flags.output:
            write_json_atomically(
                flags.output / "resume.json", {"kind": "resume", "steps": flags.steps, **found.to_json()}
            )
    if found.differences:
        raise AnswerIsNo(f"the resumed run is another one: {'; '.join(found.differences)}")
    print(f"killed after step {flags.steps // 2} and resumed: {found.n_equal} files are equal to the bit")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the recipe")
    parser.add_argument("--steps", type=positive_number, default=8, help="an even number of steps (default 8)")
    parser.add_argument("--output", type=Path, help="a new folder for both runs and resume.json")
    return parser


if __name__ == "__main__":
    run_program(main)
