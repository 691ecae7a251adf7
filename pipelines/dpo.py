r"""Train a model on preferences (chosen and rejected answers) with TRL's DPOTrainer: an adapter or all weights.

    python pipelines/dpo.py --adapter_name_or_path runs/my-instruct --dataset_name runs/preferences \
        --eval_strategy epoch --output_dir runs/my-preferred

    accelerate launch --config_file accelerate_configs/cpu.yaml pipelines/dpo.py --config RECIPE --key value

Input: a preference dataset (folder of data_prep/build_preferences.py, JSON, JSONL, Parquet or Hub id) with the columns
instruction, input, chosen, rejected, or TRL's prompt, chosen, rejected as texts or messages; a text prompt is one user
turn of the chat template. And one of:
  - adapter_name_or_path, an adapter of sft.py (folder, org/name or org/name@revision): it is trained further, and the
    reference is a frozen copy of it. Its base is model_name_or_path, or the one that the adapter names.
  - model_name_or_path with use_peft: a new adapter is trained; the reference is the model without it.
  - model_name_or_path alone: all weights are trained; the reference is a second copy.

Output: a run folder like that of sft.py, and in run.json how often the chosen answer of held-out pairs is the more
likely one, before and after (held_out_pairs, unless eval_strategy is no). Any key of DPOConfig, ModelConfig and
ScriptArguments is a recipe key and a flag: --beta 0.1. --resume continues an unfinished run. The doctor's checks run
first (--doctor error, warn or off).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.command_line import asks_for_help, run_program

if TYPE_CHECKING:
    from pipelines.recipe import Recipe


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the recipe, train on preferences and write the run folder."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if asks_for_help(arguments, __doc__):
        return
    from pipelines.recipe import ARGUMENTS, REQUIRED, Stage, checks_of, parse_recipe
    from pipelines.records import failures_noted, taken_output

    with failures_noted():
        recipe = parse_recipe(
            ARGUMENTS[Stage.DPO], arguments, [*checks_of(Stage.DPO), taken_output], REQUIRED[Stage.DPO]
        )
        _train(recipe)


def _train(recipe: "Recipe") -> None:
    from pipelines.evaluation.compare.preferences import pair_groups, preference_line, preference_metrics
    from pipelines.hub.unmerged import serving_lines
    from pipelines.inference.processes import made_once
    from pipelines.postflight import measure_baseline, read_general_text, run_postflight
    from pipelines.preflight.before_training import check_thresholds, run_preflight
    from pipelines.recipe import Stage
    from pipelines.records import open_training_run
    from pipelines.report.model_card.writing import model_card, write_card
    from pipelines.training.best.best_checkpoint import planned_best
    from pipelines.training.callbacks.checkpoint_upload import planned_push
    from pipelines.training.callbacks.throughput import cost_of_training, run_training
    from pipelines.training.callbacks.worst_batch import WorstBatchFirst
    from pipelines.training.dry_run import refuse_impossible_training
    from pipelines.training.fine_tuning import save_trained
    from pipelines.training.inputs import dpo_inputs
    from pipelines.training.preference_tuning import load_policy, preference_trainer, score_pairs
    from pipelines.training.resuming import checkpoint_to_resume
    from pipelines.training.run_inputs import fine_tuning_inputs

    data, training, model_arguments = recipe.arguments
    folder = Path(training.output_dir)
    checkpoint, general_text = checkpoint_to_resume(recipe), read_general_text(data.general_text)
    refuse_impossible_training(recipe)
    inputs = dpo_inputs(recipe)
    start, held_out_rows = inputs.start, inputs.splits[1]
    doctor = run_preflight(recipe, Stage.DPO, inputs)
    push = planned_push(recipe, start.base)
    tokenizer, new_tokens = inputs.tokenizer
    train, ledger, held_out = inputs.tokenize()
    check_thresholds(ledger, data, doctor, tells=training.process_index == 0)
    run = open_training_run("dpo", recipe, training, resume=data.resume, checkpoint=checkpoint)
    run.lock(made_once(lambda: fine_tuning_inputs(data, inputs.splits, tokenizer, start)))
    run.note(doctor=doctor)
    policy = load_policy(start, model_arguments, training, tokenizer, new_tokens)
    trainer = preference_trainer(policy, training, train, held_out, data)
    trainer.examples, trainer.ledger = train, ledger
    best = planned_best(recipe).follow(trainer)
    if push:
        push.follow(trainer)
    start_state = measure_baseline(trainer, general_text)
    before = score_pairs(trainer) if held_out is not None else None
    trainer.add_callback(WorstBatchFirst(trainer, run, wanted=data.worst_batch_first))
    metrics = run_training(trainer, run, checkpoint, data.max_hours)
    if before is not None and ledger.held_out is not None:
        groups = pair_groups(held_out_rows or (), ledger.held_out.dropped_rows())
        measured = preference_metrics(before, score_pairs(trainer), training.beta, groups)
        metrics |= {**trainer.evaluate(), "held_out_pairs": {**measured, "left_out": ledger.held_out.reasons()}}
    save_trained(trainer, folder, ledger)
    examined = run_postflight(trainer, start_state)
    run.finish(metrics=metrics, after_run=examined.to_json(), **best.record(trainer), **cost_of_training(run))
    if run.writes:
        write_card(folder)
        told = [] if before is None else [preference_line(metrics["held_out_pairs"])]
        told += best.lines()
        print(*examined.lines(), *told, f"model written to {folder}", *serving_lines(folder), sep="\n")
    examined.stop_at_errors(folder)
    if push:
        push.finish(model_card)


if __name__ == "__main__":
    run_program(main)
