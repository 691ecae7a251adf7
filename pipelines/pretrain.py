r"""Pretrain a causal language model: from scratch out of a recipe, or continued from a checkpoint.

    python pipelines/pretrain.py --config recipes/shakespeare-char/pretrain/from_scratch.yaml \
        --dataset_name input.txt --tokenizer_name_or_path build/shakespeare-tokenizer --output_dir runs/shakespeare

    accelerate launch --config_file accelerate_configs/cpu.yaml pipelines/pretrain.py --config RECIPE --key value

In: a corpus folder of data_prep/build_corpus.py (or one plain text file), a tokenizer, a recipe. Out: a run folder with
the model in safetensors, its tokenizer, run.json, trainer_state.json. Any key of transformers' TrainingArguments and of
PretrainingArguments (pipelines/recipe/arguments.py) is a recipe key and a flag: --learning_rate 1e-3. --resume
continues an unfinished run from its last checkpoint.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import asks_for_help, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and write the run folder."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if asks_for_help(arguments, __doc__):
        return
    from transformers import TrainingArguments, set_seed

    from pipelines.files import sha256_of_text
    from pipelines.modeling import load_tokenizer, model_fingerprint
    from pipelines.recipe import PretrainingArguments, parse_recipe
    from pipelines.records import open_run
    from pipelines.training.blocks import cut_into_blocks
    from pipelines.training.measuring import last_checkpoint, peak_memory_bytes
    from pipelines.training.pretraining import PretrainingTrainer, corpus_texts, model_to_pretrain, save_pretrained

    recipe = parse_recipe([PretrainingArguments, TrainingArguments], arguments)
    pretraining, training = recipe.arguments
    train_texts, validation_texts = corpus_texts(pretraining)
    tokenizer = load_tokenizer(pretraining.tokenizer_name_or_path or pretraining.model_name_or_path or "")
    set_seed(training.seed)
    model = model_to_pretrain(pretraining, tokenizer)
    run = open_run(
        Path(training.output_dir),
        program="pretrain",
        recipe=recipe.keys,
        seeds={"seed": training.seed, "data_seed": training.data_seed or training.seed},
        resume=pretraining.resume,
        writes=training.process_index == 0,
    )
    blocks = cut_into_blocks(train_texts, tokenizer, pretraining.max_length)
    held_out = cut_into_blocks(validation_texts, tokenizer, pretraining.max_length)
    source = pretraining.model_name_or_path
    run.note(
        base={"path": source, "fingerprint": model_fingerprint(source, pretraining.model_revision) if source else None},
        dataset={
            "path": pretraining.dataset_name,
            "fingerprint": f"sha256:{sha256_of_text(''.join(train_texts))}",
            **blocks.sizes("train"),
            **held_out.sizes("validation"),
        },
        n_parameters=model.num_parameters(),
    )
    data = {"train_dataset": blocks, "eval_dataset": held_out, "processing_class": tokenizer}
    trainer = PretrainingTrainer(muon_learning_rate=pretraining.muon_learning_rate, model=model, args=training, **data)
    result = trainer.train(resume_from_checkpoint=last_checkpoint(training, pretraining.resume))
    metrics = {**result.metrics, **trainer.evaluate()}
    metrics["eval_bits_per_byte"] = held_out.bits_per_byte(metrics["eval_loss"])
    save_pretrained(trainer, pretraining.save_dtype)
    n_tokens = trainer.state.global_step * training.train_batch_size * training.gradient_accumulation_steps
    n_tokens *= training.world_size * pretraining.max_length
    run.finish(
        metrics=metrics,
        n_tokens=n_tokens,
        tokens_per_second=round(n_tokens / result.metrics["train_runtime"], 1),
        peak_memory_bytes=peak_memory_bytes(),
    )
    if run.writes:
        loss, bits = metrics["eval_loss"], metrics["eval_bits_per_byte"]
        print(f"held-out loss {loss:.4f} nats per token, {bits:.4f} bits per byte")
        print(f"model written to {training.output_dir}")


if __name__ == "__main__":
    run_program(main)
