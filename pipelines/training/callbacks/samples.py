"""Sample answers during training: greedy answers to fixed prompts, and whether the model learned to end an answer."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, Trainer, TrainerControl, TrainerState, TrainingArguments

from pipelines.errors import UserError
from pipelines.files import write_jsonl_atomically
from pipelines.inference.decoding import decode
from pipelines.inference.generation import room_after
from pipelines.inference.sampling import Request, SamplingPolicy
from pipelines.inference.teacher_forcing import AnswerRow, end_probabilities, evaluation_mode
from pipelines.modeling import LoadedModel, stop_token_ids
from pipelines.training.callbacks.logging_callback import EvaluationMetrics, say

N_HELD_OUT = 32
_N_PROMPTS_AT_ONCE = 16
_N_SHOWN = 100  # characters of a sample on the terminal


@dataclass(frozen=True)
class Sample:
    """One line of samples.jsonl: the greedy answer after `step` steps; `stopped` if the model ended it."""

    step: int
    prompt: str
    answer: str
    stopped: bool


class SampleAnswersCallback(EvaluationMetrics):
    """Answer `prompts` greedily and measure the probability of the end token at each evaluation.

    `prompts` are token ids as served. Answers are appended to samples.jsonl in `folder` and printed in short.
    `held_out` has `input_ids` and `labels`, one row for each answer, not packed. Logs `eval_stop_rate` (share of the
    prompts whose answer ends within `max_new_tokens`), `eval_p_end` (mean probability of the end token where the
    answers of the first 32 held-out rows end) and `eval_p_end_inside` (the same where these answers continue). A model
    sharded over ranks (FSDP, DeepSpeed) gives no answers. Restores the random state, the model's mode and its
    generation config.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[list[int]],
        held_out: Dataset | None,
        folder: Path,
        max_new_tokens: int,
    ) -> None:
        self.tokenizer, self.max_new_tokens = tokenizer, max_new_tokens
        self.prompts = [list(prompt) for prompt in prompts]
        rows = [] if held_out is None else held_out.select(range(min(len(held_out), N_HELD_OUT)))
        self.rows = [row for row in map(AnswerRow.of, rows) if row.places]
        self.path = folder / "samples.jsonl"
        self._samples: list[Sample] = []
        self._unprinted: list[Sample] = []

    def measure(self, trainer: Trainer, prefix: str) -> dict[str, float]:
        """Metrics of the model in its current state; writes the answers on rank 0."""
        sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        model: Any = trainer.model_wrapped if sharded else trainer.accelerator.unwrap_model(trainer.model)
        found = {}
        stops = stop_token_ids(self.tokenizer, trainer.accelerator.unwrap_model(trainer.model))
        with evaluation_mode(model), torch.no_grad(), trainer.accelerator.autocast():
            if not sharded and self.prompts:
                samples = self._answers(model, stops, trainer.state.global_step)
                found[f"{prefix}_stop_rate"] = sum(sample.stopped for sample in samples) / len(samples)
                if trainer.is_in_train or not trainer.state.best_model_checkpoint:
                    self._keep(samples)  # those of the best checkpoint, loaded after the training, are in the file
            probabilities = end_probabilities(model, [row for row in self.rows if row.end in stops])
        for name, values in zip(("p_end", "p_end_inside"), probabilities, strict=True):
            if values:
                found[f"{prefix}_{name}"] = sum(values) / len(values)
        return found

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Remove the answers of steps that a resumed run repeats."""
        if state.is_world_process_zero and self.path.is_file():
            lines = self.path.read_text(encoding="utf-8", errors="surrogatepass").split("\n")
            rows = map(json.loads, lines[:-1])  # the last is empty, or was cut off
            kept = [Sample(**one) for one in rows if one["step"] <= state.global_step]
            self._samples = [one for one in kept if one.step == kept[-1].step]
            write_jsonl_atomically(self.path, map(asdict, kept))

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Print the new answers, below the line of the evaluation."""
        for sample in self._unprinted:
            answer = json.dumps(sample.answer, ensure_ascii=False)
            short = answer if len(answer) <= _N_SHOWN else f"{answer[:_N_SHOWN]}..."
            say(f"  {'stopped' if sample.stopped else 'cut off'}: {short}")
        self._unprinted = []

    def _answers(self, model: Any, stops: list[int], step: int) -> list[Sample]:
        loaded, text_of = LoadedModel("trained", "", model, self.tokenizer), self.tokenizer.decode
        requests = [Request(tuple(one), 0, room_after(loaded, one, self.max_new_tokens)) for one in self.prompts]
        asked = [one for one in dict.fromkeys(requests) if one.n_new]
        policy = SamplingPolicy(max_new_tokens=self.max_new_tokens)
        try:
            answers = dict(decode(loaded, asked, policy, _N_PROMPTS_AT_ONCE))
        except UserError as error:  # NaN logits or no memory: not a reason to stop training
            say(f"  no sample answers: {error.problem}")
            answers = {}
        samples = []
        for one in requests:
            ids = answers.get(one, [])
            stopped = bool(ids) and ids[-1] in stops
            text = str(text_of(ids[:-1] if stopped else ids, skip_special_tokens=True))
            samples.append(Sample(step, str(text_of(list(one.token_ids))), text, stopped))
        return samples

    def _keep(self, samples: list[Sample]) -> None:
        if samples == self._samples:  # the evaluation after the last step repeats that of the last step
            return
        self._samples = self._unprinted = samples
        with self.path.open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.writelines(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in samples)
