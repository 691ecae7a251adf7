r"""Fine-tune a base model into an instruct model with TRL's SFTTrainer: full or LoRA, loss on the answer only.

    python pipelines/sft.py --config recipes/quickstart/sft/lora.yaml --output_dir runs/my-instruct

    accelerate launch --config_file accelerate_configs/cpu.yaml pipelines/sft.py --config RECIPE --key value

In: a recipe that names a base (folder or Hub id) and an instruction dataset (folder of data_prep/build_instructions.py,
JSON, JSONL, CSV, Parquet or Hub id with the columns instruction, input, output). Out: a run folder with the adapter or
model, the tokenizer with its chat template, run.json, ledger.json (every row's fate) and trainer_state.json. Any key of
TRL's SFTConfig, ModelConfig and ScriptArguments is a recipe key and a flag: --learning_rate 1e-4. --resume continues an
unfinished run from its last checkpoint.
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
    from trl import ModelConfig, SFTConfig

    from pipelines.files import write_json_atomically
    from pipelines.modeling import model_fingerprint, template_sha256
    from pipelines.recipe import DataArguments, parse_recipe
    from pipelines.records import open_run
    from pipelines.training.fine_tuning import load_student, save_student, sft_trainer
    from pipelines.training.instruction_rows import dataset_fingerprint, instruction_rows
    from pipelines.training.labels import tokenize_rows
    from pipelines.training.measuring import last_checkpoint, peak_memory_bytes

    recipe = parse_recipe([DataArguments, SFTConfig, ModelConfig], arguments)
    data, training, model_arguments = recipe.arguments
    folder = Path(training.output_dir)
    evaluates = training.eval_strategy != "no"
    train_rows, held_out_rows = instruction_rows(data, evaluates=evaluates)
    run = open_run(
        folder,
        program="sft",
        recipe=recipe.keys,
        seeds={"seed": training.seed, "data_seed": training.data_seed or training.seed},
        resume=data.resume,
        writes=training.process_index == 0,
    )
    student = load_student(model_arguments, training)
    train, ledger = tokenize_rows(train_rows, student.tokenizer, training.max_length)
    held_out = tokenize_rows(held_out_rows, student.tokenizer, training.max_length)[0] if held_out_rows else None
    base = str(model_arguments.model_name_or_path)
    run.note(
        base={"path": base, "fingerprint": model_fingerprint(base, model_arguments.model_revision)},
        dataset={"path": data.dataset_name, "fingerprint": dataset_fingerprint(train_rows), "n_rows": len(train_rows)},
        template_sha256=template_sha256(student.tokenizer),
    )
    if run.writes:
        print(f"ledger: {ledger.summary()}", flush=True)
    trainer = sft_trainer(student, training, train, held_out)
    result = trainer.train(resume_from_checkpoint=last_checkpoint(training, data.resume))
    metrics = {**result.metrics, **(trainer.evaluate() if evaluates else {})}
    save_student(trainer, folder)
    n_tokens = next(
        (int(log["num_tokens"]) for log in reversed(trainer.state.log_history) if "num_tokens" in log), None
    )
    if run.writes:
        write_json_atomically(folder / "ledger.json", ledger.to_json())
    run.finish(
        metrics=metrics,
        n_tokens=n_tokens,
        tokens_per_second=round(n_tokens / result.metrics["train_runtime"], 1) if n_tokens else None,
        peak_memory_bytes=peak_memory_bytes(),
    )
    if run.writes:
        print(f"instruct model written to {folder}")


if __name__ == "__main__":
    run_program(main)
