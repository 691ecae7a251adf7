"""The trainer of `pretrain.py`: causal language modeling on blocks, resumable in the middle of a streamed corpus."""

from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from pipelines.errors import UserError
from pipelines.files import read_json, write_json_atomically
from pipelines.modeling import PromptStyle, render_prompt
from pipelines.recipe.arguments import PretrainingArguments
from pipelines.records import Run
from pipelines.training.callbacks.logging_callback import ThroughputLogging, add_logging
from pipelines.training.callbacks.samples import SampleAnswersCallback
from pipelines.training.callbacks.throughput import cost_of_training, run_training
from pipelines.training.exact_resume import ExactResume
from pipelines.training.machine_failures import no_half_model
from pipelines.training.pretrain.corpus import Corpus
from pipelines.training.pretrain.corpus_stream import CorpusStream
from pipelines.training.pretrain.document_boundaries import stack_blocks
from pipelines.training.pretrain.muon import muon_with_adamw
from pipelines.training.saving import CompleteSaving
from pipelines.training.step.finite_steps import FiniteSteps

_PROMPT_CHARACTERS = 40
CORPUS_STATE_NAME = "corpus_state.json"


class PretrainingTrainer(FiniteSteps, CompleteSaving, ExactResume, ThroughputLogging, Trainer):
    """transformers' `Trainer` with Muon for the matrices where the recipe says so, and a stream's state in checkpoints.

    `stream` is the corpus if it is streamed, None if it is whole.
    """

    def __init__(
        self, *, muon_learning_rate: float | None = None, stream: CorpusStream | None = None, **options: Any
    ) -> None:
        self.muon_learning_rate, self.stream = muon_learning_rate, stream
        super().__init__(**options)

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW as transformers builds it, or Muon with AdamW."""
        if self.muon_learning_rate is None or self.optimizer is not None:
            return super().create_optimizer(model) if model is not None else super().create_optimizer()
        betas = (self.args.adam_beta1, self.args.adam_beta2)
        self.optimizer = muon_with_adamw(
            cast(PreTrainedModel, self.model),
            muon_lr=self.muon_learning_rate,
            adamw_options={
                "lr": self.args.learning_rate,
                "betas": betas,
                "eps": self.args.adam_epsilon,
                "weight_decay": self.args.weight_decay,
            },
        )
        return self.optimizer

    def get_train_dataloader(self) -> Any:
        """transformers' loader; for a stream with its own generator.

        PyTorch draws a seed for workers at each start of a loader, from the generator that dropout uses too: a resumed
        run starts once more and would drop other units from there on.
        """
        loader = super().get_train_dataloader()
        if self.stream is not None:
            cast(Any, loader).base_dataloader.generator = torch.Generator()
        return loader

    @property
    def n_blocks_per_step(self) -> int:
        """Blocks of all processes in one update step."""
        return self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size

    def corpus_facts(self) -> dict[str, Any]:
        """Tokens and documents drawn from each part of a streamed corpus so far."""
        return {} if self.stream is None else {"parts": self.stream.parts_after(self.state.global_step)}

    def _save_own_state(self, folder: Path) -> None:
        if self.stream is not None and self.args.should_save:
            write_json_atomically(folder / CORPUS_STATE_NAME, self.stream.state_after(self.state.global_step))
        super()._save_own_state(folder)


def pretraining_trainer(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    arguments: PretrainingArguments,
    training: TrainingArguments,
) -> PretrainingTrainer:
    """Build the trainer over `corpus`. Every process reads the whole stream, so that each knows the position in it."""
    stream = corpus.train if isinstance(corpus.train, CorpusStream) else None
    if stream is not None:
        training.ignore_data_skip = True  # the stream is restored to the checkpoint's position
        cast(Any, training.accelerator_config).dispatch_batches = False
    trainer = PretrainingTrainer(
        muon_learning_rate=arguments.muon_learning_rate,
        stream=stream,
        model=model,
        args=training,
        train_dataset=corpus.train,
        eval_dataset=corpus.held_out_blocks,
        processing_class=tokenizer,
        data_collator=stack_blocks,
    )
    add_logging(trainer)
    prompts = _sample_prompts(corpus, tokenizer, arguments)
    folder, n_new = Path(str(training.output_dir)), arguments.sample_max_new_tokens
    trainer.add_callback(SampleAnswersCallback(tokenizer, prompts, None, folder, n_new))
    return trainer


def _sample_prompts(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, arguments: PretrainingArguments
) -> list[list[int]]:
    """Prompts to continue at each evaluation: the recipe's, or the beginnings of the first held-out documents."""
    texts = arguments.sample_prompts
    if texts is None:
        held_out = (text for part in corpus.held_out_texts.values() for text in part)
        texts = [text[:_PROMPT_CHARACTERS] for text in islice(held_out, arguments.n_samples)]
    return [ids for text in texts if (ids := render_prompt(tokenizer, text, style=PromptStyle.RAW))]


def restore_stream(corpus: Corpus, checkpoint: Path | None) -> None:
    """Set a streamed corpus to the position of `checkpoint`.

    Raises `UserError` for a checkpoint without the corpus state, or with that of another corpus.
    """
    if checkpoint is None or not isinstance(corpus.train, CorpusStream):
        return
    state = checkpoint / CORPUS_STATE_NAME
    if not state.is_file():
        raise UserError(
            f"{checkpoint} has no {CORPUS_STATE_NAME}: it belongs to a run that did not stream",
            "resume with the recipe that it was started with",
        )
    corpus.train.restore(read_json(state))


def train(
    trainer: PretrainingTrainer, corpus: Corpus, run: Run, checkpoint: Path | None, max_hours: float | None = None
) -> dict[str, float]:
    """Train, from `checkpoint` if given, and evaluate on held-out blocks; return both metrics, with bits per byte.
    Raises as `run_training`."""
    metrics = {**run_training(trainer, run, checkpoint, max_hours), **trainer.evaluate()}
    metrics["eval_bits_per_byte"] = corpus.held_out_blocks.bits_per_byte(metrics["eval_loss"])
    return metrics


def cost_of_pretraining(trainer: PretrainingTrainer, max_length: int, run: Run) -> dict[str, Any]:
    """For run.json: tokens read in blocks of `max_length`, their rate and peak memory, over all parts of `run`."""
    n_tokens = trainer.n_blocks_per_step * trainer.state.global_step * max_length
    run.before = {**run.before, "n_tokens": n_tokens}
    return cost_of_training(run)


def save_pretrained(trainer: Trainer, dtype: str) -> None:
    """Write the model or the adapter (cast to the torch `dtype`), tokenizer and trainer state."""
    model, to = cast(PreTrainedModel, trainer.model), getattr(torch, dtype)
    if isinstance(model, PeftModel):  # the base, which may be quantized, is not saved
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(to)
    else:
        model.to(to)
    with no_half_model(Path(str(trainer.args.output_dir))):
        trainer.save_model()
        trainer.save_state()
