r"""Pretrain a causal language model: from scratch or continued, all weights or LoRA.

    python pipelines/pretrain.py --config recipes/shakespeare-char/pretrain/from_scratch.yaml \
        --dataset_name input.txt --tokenizer_name_or_path build/shakespeare-tokenizer --output_dir runs/shakespeare

    accelerate launch --config_file accelerate_configs/cpu.yaml pipelines/pretrain.py --config RECIPE --key value

Input: a tokenizer, a recipe and a corpus (`dataset_name`: a folder of data_prep/build_corpus.py, a text, JSONL, CSV or
Parquet file, a folder of them, or a Hub id; or `datasets:`, several of them, each with a `weight`, its share of the
tokens; with `streaming: true` it is never loaded whole). Output: a run folder with the model or adapter in safetensors,
its tokenizer, run.json (with bits per byte on held-out text, before and after) and trainer_state.json. Any key of
transformers' TrainingArguments, TRL's ModelConfig and PretrainingArguments (pipelines/recipe/arguments.py) is a recipe
key and a flag: --learning_rate 1e-3. --resume continues an unfinished run from its last checkpoint, a streamed corpus
at the exact token. The doctor's checks run first (--doctor error, warn or off).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.command_line import asks_for_help, run_program

if TYPE_CHECKING:
    from pipelines.postflight import PostflightReport
    from pipelines.recipe import Recipe


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the recipe, train and write the run folder."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if asks_for_help(arguments, __doc__):
        return
    from pipelines.recipe import ARGUMENTS, REQUIRED, Stage, checks_of, parse_recipe
    from pipelines.records import failures_noted, taken_output

    stage = Stage.PRETRAIN
    with failures_noted():
        recipe = parse_recipe(ARGUMENTS[stage], arguments, [*checks_of(stage), taken_output], REQUIRED[stage])
        _train(recipe)


def _train(recipe: "Recipe") -> None:
    from pipelines.evaluation.likelihood import before_after
    from pipelines.inference.processes import made_once
    from pipelines.modeling import LoadedModel
    from pipelines.postflight import measure_baseline, read_general_text, run_postflight
    from pipelines.preflight.before_training import run_preflight
    from pipelines.recipe import Stage
    from pipelines.records import open_training_run
    from pipelines.report.model_card.writing import model_card
    from pipelines.training.best.best_checkpoint import planned_best
    from pipelines.training.callbacks.checkpoint_upload import planned_push
    from pipelines.training.callbacks.worst_batch import WorstBatchFirst
    from pipelines.training.dry_run import refuse_impossible_training
    from pipelines.training.pretrain import pretraining as trainers
    from pipelines.training.pretrain import pretraining_model as models
    from pipelines.training.pretrain.corpus import open_corpus
    from pipelines.training.resuming import checkpoint_to_resume
    from pipelines.training.run_inputs import pretraining_inputs

    pretraining, training, model_arguments = recipe.arguments
    checkpoint, general_text = checkpoint_to_resume(recipe), read_general_text(pretraining.general_text)
    refuse_impossible_training(recipe)
    doctor = run_preflight(recipe, Stage.PRETRAIN)
    push = planned_push(recipe, model_arguments.model_name_or_path)
    tokenizer = models.tokenizer_to_pretrain(pretraining, model_arguments)
    corpus = open_corpus(pretraining, training, tokenizer)
    models.refuse_impossible_model(pretraining, model_arguments, tokenizer)
    trainers.restore_stream(corpus, checkpoint)
    run = open_training_run("pretrain", recipe, training, resume=pretraining.resume, checkpoint=checkpoint)
    run.lock(made_once(lambda: pretraining_inputs(pretraining, corpus, tokenizer, model_arguments)))
    model = models.model_to_pretrain(pretraining, model_arguments, training, tokenizer)
    run.note(dataset=corpus.facts, n_parameters=model.num_parameters(), doctor=doctor)
    trainer = trainers.pretraining_trainer(model, tokenizer, corpus, pretraining, training)
    loaded = LoadedModel("trained", training.output_dir, model, tokenizer)
    is_continued, texts = model_arguments.model_name_or_path is not None, corpus.held_out_texts
    before = before_after.likelihoods_in_training(trainer, loaded, texts) if is_continued else None
    best = planned_best(recipe).follow(trainer)
    if push:
        push.follow(trainer)
    start_state = measure_baseline(trainer, general_text)
    trainer.add_callback(WorstBatchFirst(trainer, run, wanted=pretraining.worst_batch_first))
    metrics = trainers.train(trainer, corpus, run, checkpoint, pretraining.max_hours)
    after = before_after.likelihoods_in_training(trainer, loaded, texts)
    changes = before_after.held_out_bits_per_byte(before, after)
    trainers.save_pretrained(trainer, pretraining.save_dtype)
    examined = run_postflight(trainer, start_state)
    run.finish(
        metrics={**metrics, "held_out_bits_per_byte": changes},
        after_run=examined.to_json(),
        dataset={**corpus.facts, **trainer.corpus_facts()},
        **best.record(trainer),
        **trainers.cost_of_pretraining(trainer, pretraining.max_length, run),
    )
    if run.writes:
        loss = f"held-out loss {metrics['eval_loss']:.4f} nats per token"
        _finish(run.folder, [loss, *best.lines(), *before_after.held_out_lines(changes)], examined)
    if push:
        push.finish(model_card)


def _finish(folder: Path, lines: Sequence[str], examined: "PostflightReport") -> None:
    from pipelines.hub.unmerged import serving_lines
    from pipelines.report.model_card.writing import write_card

    write_card(folder)
    print(*lines, *examined.lines(), f"model written to {folder}", *serving_lines(folder), sep="\n")
    examined.stop_at_errors(folder)


if __name__ == "__main__":
    run_program(main)
