r"""Fine-tune a base model into an instruct model with TRL's SFTTrainer: all weights or LoRA, loss on the answers only.

    python pipelines/sft.py --config recipes/quickstart/sft/lora.yaml --output_dir runs/my-instruct

    accelerate launch --config_file accelerate_configs/cpu.yaml pipelines/sft.py --config RECIPE --key value

Input: a recipe that names a base (folder, org/name or org/name@revision) and a dataset: a folder of
data_prep/build_instructions.py, JSON, JSONL, CSV, Parquet, a Hub id or TRL's `datasets:` mixture, with the columns
instruction + output (input, system), messages, conversations (ShareGPT), prompt + completion, or text; tools and tool
calls if the template supports them. Only the assistant's turns are trained. Output: a run folder with the adapter or
model, the tokenizer with its chat template, run.json, ledger.json (what happened to every row), row_losses.parquet
(each row's final loss, highest first), trainer_state.json and README.md (the model card). --adapter_name_or_path trains
an adapter further. The doctor's checks run first and stop the run at errors (--doctor error, warn or off). Any key of
TRL's SFTConfig, ModelConfig and ScriptArguments is a recipe key and a flag: --learning_rate 1e-4. --resume continues an
unfinished run.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.command_line import asks_for_help, run_program

if TYPE_CHECKING:
    from pipelines.recipe import Recipe


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the recipe, train and write the run folder."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if asks_for_help(arguments, __doc__):
        return
    from pipelines.recipe import ARGUMENTS, REQUIRED, Stage, checks_of, parse_recipe
    from pipelines.records import failures_noted, taken_output

    with failures_noted():
        recipe = parse_recipe(
            ARGUMENTS[Stage.SFT], arguments, [*checks_of(Stage.SFT), taken_output], REQUIRED[Stage.SFT]
        )
        _train(recipe)


def _train(recipe: "Recipe") -> None:
    from pipelines.hub.unmerged import serving_lines
    from pipelines.inference.processes import made_once
    from pipelines.postflight import measure_baseline, read_general_text, run_postflight
    from pipelines.preflight.before_training import check_thresholds, run_preflight, stopped_at_errors
    from pipelines.recipe import Stage
    from pipelines.records import open_training_run
    from pipelines.report.model_card.writing import model_card, write_card
    from pipelines.training.best.best_checkpoint import planned_best
    from pipelines.training.callbacks.checkpoint_upload import planned_push
    from pipelines.training.callbacks.samples import SampleAnswersCallback
    from pipelines.training.callbacks.throughput import cost_of_training, run_training
    from pipelines.training.callbacks.worst_batch import WorstBatchFirst
    from pipelines.training.data.instruction_set import sample_prompt_ids
    from pipelines.training.data.row_losses import row_losses_line, write_row_losses
    from pipelines.training.dry_run import refuse_impossible_training
    from pipelines.training.fine_tuning import load_bundle, save_trained, sft_trainer
    from pipelines.training.inputs import sft_inputs
    from pipelines.training.resuming import checkpoint_to_resume
    from pipelines.training.run_inputs import fine_tuning_inputs

    data, training, model_arguments = recipe.arguments
    checkpoint, general_text = checkpoint_to_resume(recipe), read_general_text(data.general_text)
    refuse_impossible_training(recipe)
    inputs = sft_inputs(recipe)
    rows, start = inputs.rows, inputs.start
    doctor, push = run_preflight(recipe, Stage.SFT, inputs), planned_push(recipe, start.base)
    tokenizer, new_tokens = inputs.tokenizer
    train, ledger, held_out = inputs.tokenize(compares_with_serving=not stopped_at_errors(doctor))
    check_thresholds(ledger, data, doctor, tells=training.process_index == 0)
    best = planned_best(recipe, inputs, held_out, ledger)
    run = open_training_run("sft", recipe, training, resume=data.resume, checkpoint=checkpoint)
    run.lock(made_once(lambda: fine_tuning_inputs(data, inputs.splits, tokenizer, start)))
    bundle = load_bundle(start, model_arguments, training, tokenizer, new_tokens)
    run.note(doctor=doctor, n_parameters=bundle.model.num_parameters())
    trainer = sft_trainer(bundle, training, train, held_out, data.max_tokens_per_micro_batch)
    run.note(**trainer.facts_of_steps())
    prompts = sample_prompt_ids(rows, tokenizer)
    trainer.add_callback(SampleAnswersCallback(tokenizer, prompts, held_out, run.folder, data.sample_max_new_tokens))
    trainer.examples, trainer.ledger = train, ledger
    best.follow(trainer)
    if push:
        push.follow(trainer)
    before = measure_baseline(trainer, general_text)
    trainer.add_callback(WorstBatchFirst(trainer, run, wanted=data.worst_batch_first))
    metrics = run_training(trainer, run, checkpoint, data.max_hours)
    metrics |= trainer.evaluate() if held_out is not None else {}
    save_trained(trainer, run.folder, ledger)
    examined, cost = run_postflight(trainer, before), cost_of_training(run)
    losses = write_row_losses(trainer, train, rows.train, ledger, cost["n_tokens"]) if data.row_losses else None
    run.finish(metrics=metrics, after_run=examined.to_json(), row_losses=losses, **best.record(trainer), **cost)
    if run.writes:
        write_card(run.folder)
        written = [f"instruct model written to {run.folder}", *serving_lines(run.folder)]
        print(*examined.lines(), *best.lines(), *row_losses_line(losses), *written, sep="\n")
    examined.stop_at_errors(run.folder)
    if push:
        push.finish(model_card)


if __name__ == "__main__":
    run_program(main)
