r"""Push a finished run to the Hub (adapter or model, tokenizer, card, lock and evaluation), or a dataset folder.

    python pipelines/push.py runs/my-instruct --repo_id me/my-instruct --comparison runs/comparison --dry_run
    python pipelines/push.py runs/my-instruct --repo_id me/my-instruct --base_model me/my-base --merged runs/merged
    python pipelines/push.py data/my-chats --repo_id me/my-chats

Input: the run folder of sft.py, dpo.py or pretrain.py, and a token with write permission (`hf auth login`, or
HF_TOKEN). Output: one commit on --revision (default main). The card is made from the run's records and, with
--comparison, from those of compare.py, whose comparison.json and perplexity.json are uploaded too. If the base was a
local folder, pass --base_model HUB_ID or HUB_ID@REVISION; the Hub must have the weights that were trained on, so push
the base first. --merged, a folder of merge.py, goes to the branch `merged` of the same repository, --gguf to its branch
`gguf`.

A new repository is private unless you pass --public; an existing one keeps its visibility. A branch is replaced only if
it holds an earlier push of a model on the same base, or with --overwrite; old commits stay in the history. Optimizer
states, training_args.bin, checkpoints, run.json and answers are never uploaded, except the answers on the card.
lock.json contains the uncommitted diff of this checkout, if there was one. Absolute paths in records are shortened to
their last part. A secret scan searches every file for tokens, the home folder and the user's name before the upload,
and rejects a file that has one, naming the line. --dry_run uploads nothing and lists what would be uploaded; without
a token it also lists what it could not check.

Of a dataset folder, the Parquet files, card and manifest are pushed, each row after the same scan for tokens;
rejected.jsonl and changed.jsonl are not, because they quote what cleaning removed.
Temporary failures (429, 5xx, cut connections) are retried with increasing delays. Repeat an interrupted push with the
same command: uploaded files are not sent again. In a recipe, push_to_hub: true pushes at the end of the run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.command_line import ArgumentParser, run_program
from pipelines.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Plan the upload, scan it, list it, upload it."""
    flags = _parser().parse_args(arguments)

    from huggingface_hub import get_token

    from data_prep.dataset_folder import is_dataset_folder
    from pipelines.files import refuse_missing
    from pipelines.hub.base import hub_base
    from pipelines.hub.model_ref import is_adapter, model_fingerprint
    from pipelines.hub.repository import refuse_invalid_name, writable_repository
    from pipelines.hub.upload_plan import MAIN, PublishedRun, refuse_other_comparison, refuse_other_merge
    from pipelines.records import read_finished_run, read_lock
    from pipelines.report.model_card.writing import model_card

    refuse_missing(comparison=flags.comparison, merged=flags.merged, gguf=flags.gguf)
    if is_dataset_folder(flags.run_dir):
        _push_dataset(flags)
        return
    read_finished_run(flags.run_dir)
    refuse_invalid_name(flags.repo_id)
    if flags.comparison or flags.merged:
        pushed = model_fingerprint(str(flags.run_dir))
        if flags.comparison:
            refuse_other_comparison(flags.comparison, pushed)
        if flags.merged:
            refuse_other_merge(flags.merged, pushed)
    lock = read_lock(flags.run_dir)
    repository = None if flags.dry_run and get_token() is None else writable_repository(flags.repo_id)
    repo_id = repository.repo_id if repository else flags.repo_id
    base = hub_base(lock["base"], flags.base_model, repository, is_needed=is_adapter(str(flags.run_dir)))
    card = model_card(
        flags.run_dir,
        comparison_folder=flags.comparison,
        repo_id=repo_id,
        base_model=base.repo_id if base else None,
        revision=None if flags.revision == MAIN else flags.revision,
    )
    run = PublishedRun(flags.run_dir, lock, card, base, (flags.comparison,) if flags.comparison else ())
    plans = [run.plan(flags.revision)]
    if flags.merged:
        plans.append(run.merged_plan(flags.merged, flags.revision, repo_id))
    if flags.gguf:
        plans.append(run.gguf_plan(flags.gguf, flags.revision))
    _push(flags, repository, repo_id, plans, base)


def _push_dataset(flags: argparse.Namespace) -> None:
    from huggingface_hub import get_token

    from pipelines.hub.dataset_upload import dataset_plan, writable_dataset

    if given := [name for name in ("base_model", "comparison", "merged", "gguf") if getattr(flags, name)]:
        raise UserError(f"{flags.run_dir} is a dataset folder, and --{given[0]} is for models", "leave it out")
    plan = dataset_plan(flags.run_dir, flags.revision)
    repository = None if flags.dry_run and get_token() is None else writable_dataset(flags.repo_id)
    _push(flags, repository, repository.repo_id if repository else flags.repo_id, [plan])


def _push(flags: argparse.Namespace, *what: Any) -> None:
    from pipelines.hub.upload import push_lines

    for line in push_lines(*what, private=not flags.public, overwrite=flags.overwrite, dry_run=flags.dry_run):
        print(line, flush=True)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("run_dir", type=Path, metavar="RUN_DIR", help="output_dir of a finished run, or a dataset folder")
    add("--repo_id", required=True, metavar="NAME", help="NAMESPACE/NAME, or NAME under the token's user")
    add("--revision", default="main", metavar="BRANCH", help="branch to push to (default main)")
    add("--base_model", metavar="HUB_ID", help="the base on the Hub, if the run's base was a local folder")
    add("--comparison", type=Path, metavar="DIR", help="output of compare.py for this run")
    add("--merged", type=Path, metavar="DIR", help="also push merged weights, to the branch merged")
    add("--gguf", type=Path, metavar="FILE", help="also push a GGUF file, to the branch gguf")
    add("--public", action="store_true", help="make a new repository public (default private)")
    add("--overwrite", action="store_true", help="overwrite unrelated files, or a model on another base")
    add("--dry_run", action="store_true", help="list what would be uploaded, and upload nothing")
    return parser


if __name__ == "__main__":
    run_program(main)
