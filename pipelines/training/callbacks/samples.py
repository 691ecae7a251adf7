"""What the model says while it is trained: answers to fixed prompts, and whether it has learnt where an answer ends."""

import inspect
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from pipelines.files import read_jsonl, write_jsonl_atomically
from pipelines.modeling import stop_token_ids
from pipelines.training.callbacks.logging_callback import EvaluationMetrics, say
from pipelines.training.data.truncation import IGNORED

N_HELD_OUT = 32
_N_PROMPTS_AT_ONCE = 16
_N_LOGITS_AT_ONCE = 1 << 26  # 256 MiB in float32; a longer row goes alone
_N_SHOWN = 100  # characters of a sample on the terminal


@dataclass(frozen=True)
class Sample:
    """One line of samples.jsonl: the greedy answer after `step` steps; `stopped` if the model ended it by itself."""

    step: int
    prompt: str
    answer: str
    stopped: bool


@dataclass(frozen=True)
class HeldOutRow:
    """A row whose answer ends with `end`; `places` are those of the answer's tokens, the end token's last."""

    token_ids: list[int]
    places: list[int]
    labels: list[int]  # the tokens at `places`

    @property
    def end(self) -> int:
        """The token that ends the answer."""
        return self.labels[-1]


class SampleAnswersCallback(EvaluationMetrics):
    """Measure greedy answers to `prompts` and the probability of the end token at each evaluation.

    `prompts` are token ids as the serving program renders them; the answers are appended to samples.jsonl in `folder`
    and printed short. `held_out` has `input_ids` and `labels`, one row for each answer, not packed. Adds to the logged
    metrics `eval_stop_rate` (share of the prompts answered to an end token within `max_new_tokens`), `eval_p_end` (mean
    probability of the end token where the answers of the first 32 held-out rows end) and `eval_p_end_inside` (mean
    probability of that token where these answers go on). A model sharded over ranks (FSDP, DeepSpeed) gives no answers.
    The random state of the run, the model's mode and its generation config are as before afterwards.
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
        self.rows = [] if held_out is None else held_out_rows(held_out.select(range(min(len(held_out), N_HELD_OUT))))
        self.path = folder / "samples.jsonl"
        self._samples: list[Sample] = []
        self._unsaid: list[Sample] = []

    def measure(self, trainer: Trainer, prefix: str) -> dict[str, float]:
        """Metrics of the model as it is now; writes the answers on rank 0."""
        sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        model: Any = trainer.model_wrapped if sharded else trainer.accelerator.unwrap_model(trainer.model)
        found = {}
        stops = stop_token_ids(self.tokenizer, trainer.accelerator.unwrap_model(trainer.model))
        with untouched(model), torch.no_grad(), trainer.accelerator.autocast():
            if not sharded and self.prompts:
                samples = self._answers(model, stops, trainer.state.global_step)
                found[f"{prefix}_stop_rate"] = sum(sample.stopped for sample in samples) / len(samples)
                self._keep(samples)
            probabilities = end_probabilities(model, [row for row in self.rows if row.end in stops])
        for name, values in zip(("p_end", "p_end_inside"), probabilities, strict=True):
            if values:
                found[f"{prefix}_{name}"] = sum(values) / len(values)
        return found

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Forget the answers of steps that a resumed run does once more."""
        if state.is_world_process_zero and self.path.is_file():
            kept = [row for row in read_jsonl(self.path) if row["step"] <= state.global_step]
            write_jsonl_atomically(self.path, kept)

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Print the new answers, below the line of the evaluation."""
        for sample in self._unsaid:
            answer = json.dumps(sample.answer, ensure_ascii=False)
            short = answer if len(answer) <= _N_SHOWN else f"{answer[:_N_SHOWN]}..."
            say(f"  {'stopped' if sample.stopped else 'cut off'}: {short}")
        self._unsaid = []

    def _answers(self, model: Any, stops: list[int], step: int) -> list[Sample]:
        fill = int(self.tokenizer.pad_token_id or 0)
        decode: Any = self.tokenizer.decode
        samples = []
        for first in range(0, len(self.prompts), _N_PROMPTS_AT_ONCE):
            prompts = self.prompts[first : first + _N_PROMPTS_AT_ONCE]
            answers = greedy_answers(model, prompts, stops, fill, self.max_new_tokens)
            for prompt, answer in zip(prompts, answers, strict=True):
                end = next((place for place, token_id in enumerate(answer) if token_id in stops), None)
                text = decode(answer[:end], skip_special_tokens=True)
                samples.append(Sample(step, decode(prompt), text, end is not None))
        return samples

    def _keep(self, samples: list[Sample]) -> None:
        if samples == self._samples:  # the evaluation after the last step says what that of the last step said
            return
        self._samples = self._unsaid = samples
        with self.path.open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.writelines(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in samples)


def held_out_rows(rows: Dataset) -> list[HeldOutRow]:
    """The rows that have an answer, from their `input_ids` and `labels`."""
    found = []
    for row in rows:
        places = [place for place, label in enumerate(row["labels"]) if label != IGNORED and place > 0]
        if places:
            found.append(HeldOutRow(list(row["input_ids"]), places, [row["labels"][place] for place in places]))
    return found


def end_probabilities(model: Any, rows: Sequence[HeldOutRow]) -> tuple[list[float], list[float]]:
    """P(end token | what is before) at the end of each row's answer, and at the places where an answer goes on.

    Teacher forcing, softmax in float32. A place inside that is labelled with the end token too (an earlier turn's end)
    is in neither list.
    """
    at_end: list[float] = []
    inside: list[float] = []
    for batch in batches_of_rows(rows, int(model.config.get_text_config().vocab_size)):
        for row, probabilities in zip(batch, _end_probabilities(model, batch), strict=True):
            *before, last = probabilities
            at_end.append(last)
            inside += [p for p, label in zip(before, row.labels[:-1], strict=True) if label != row.end]
    return at_end, inside


def _end_probabilities(model: Any, batch: Sequence[HeldOutRow]) -> list[list[float]]:
    """The probability of each row's end token at each place of its answer."""
    found = answer_logits(model, batch)
    return [(own[:, row.end] - own.logsumexp(dim=-1)).exp().tolist() for row, own in found]


def answer_logits(model: Any, batch: Sequence[HeldOutRow]) -> Iterator[tuple[HeldOutRow, torch.Tensor]]:
    """Each row with the logits (float32, shape [places, vocabulary]) that predict its labels, in one forward pass."""
    device, longest = next(model.parameters()).device, max(len(row.token_ids) for row in batch)
    ids = torch.tensor([row.token_ids + [0] * (longest - len(row.token_ids)) for row in batch], device=device)
    mask = torch.tensor([[1] * len(r.token_ids) + [0] * (longest - len(r.token_ids)) for r in batch], device=device)
    kept = sorted({place - 1 for row in batch for place in row.places})  # a token is predicted one place before it
    column = {place: number for number, place in enumerate(kept)}
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    keeps = "logits_to_keep" in inspect.signature(type(base).forward).parameters
    only = {"logits_to_keep": torch.tensor(kept, device=device)} if keeps else {}
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **only).logits
    logits = logits if keeps else logits[:, kept]
    for number, row in enumerate(batch):
        yield row, logits[number, [column[place - 1] for place in row.places]].float()


def batches_of_rows(rows: Sequence[HeldOutRow], n_vocabulary: int) -> Iterator[list[HeldOutRow]]:
    """`rows` in their order, in batches whose logits take at most 256 MiB."""
    batch: list[HeldOutRow] = []
    for row in rows:
        longest = max(len(one.token_ids) for one in [*batch, row])
        if batch and (len(batch) + 1) * longest * n_vocabulary > _N_LOGITS_AT_ONCE:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def greedy_answers(
    model: Any, prompts: Sequence[list[int]], stops: list[int], fill: int, max_new_tokens: int
) -> list[list[int]]:
    """New tokens after each prompt, with what `generate` pads a finished row with; [] where no position is left."""
    longest = max(len(prompt) for prompt in prompts)
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or longest + max_new_tokens
    n_new = min(max_new_tokens, positions - longest)
    if n_new < 1:
        return [[] for _ in prompts]
    device = next(model.parameters()).device
    ids = torch.tensor([[fill] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    plain = GenerationConfig(
        max_new_tokens=n_new, do_sample=False, use_cache=True, eos_token_id=stops or None, pad_token_id=fill
    )
    answers = model.generate(input_ids=ids, attention_mask=mask, generation_config=plain)
    return answers[:, longest:].tolist()


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Evaluation mode, plain generation and the random state of Python, NumPy and torch, all put back at the end.

    The model's own generation config is set aside because `generate` fills all that a caller leaves open from it, such
    as a repetition penalty.
    """
    owners: list[Any] = [owner for owner in (model, getattr(model, "get_base_model", lambda: None)()) if owner]
    configs = [getattr(owner, "generation_config", None) for owner in owners]
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
        try:
            model.eval()
            for owner in owners:
                owner.generation_config = GenerationConfig()
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            for module, mode in modes:
                module.training = mode
            for owner, config in zip(owners, configs, strict=True):
                owner.generation_config = config
