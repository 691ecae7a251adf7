"""This project's own recipe keys, documented on the fields. All other keys are TRL's, PEFT's and transformers'."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from trl import ScriptArguments
from trl.scripts.utils import DatasetConfig, DatasetMixtureConfig

from data_prep.conversation import TrainOn
from pipelines.errors import UserError
from pipelines.recipe.keep_best import KeepBest

Choice = TypeVar("Choice", bound=StrEnum)


class TruncationPolicy(StrEnum):
    """What happens to a row over `max_length` tokens; the ledger counts every one.

    DROP removes it. TRUNCATE_PROMPT cuts the start of its longest prompt text. KEEP_END_TOKEN cuts the answer and
    appends the end token. SPLIT makes several examples of it. ERROR stops before training.
    """

    DROP = "drop"
    TRUNCATE_PROMPT = "truncate_prompt"
    KEEP_END_TOKEN = "keep_end_token"
    SPLIT = "split"
    ERROR = "error"


class DoctorMode(StrEnum):
    """ERROR: the doctor's errors stop the run. WARN: they are only printed. OFF: no checks."""

    ERROR = "error"
    WARN = "warn"
    OFF = "off"


@dataclass
class MixturePart(DatasetConfig):
    """One entry of `datasets:`: TRL's `DatasetConfig` (path, name, split, columns, fraction, ...) and two more keys."""

    revision: str | None = None  # commit, tag or branch of a Hub dataset
    weight: float | None = None  # share of the tokens that pretraining draws from this part


@dataclass
class MixtureArguments(DatasetMixtureConfig):
    """TRL's `datasets:` mixture; its split is seeded by the recipe's `seed`, the same on every rank."""

    def __post_init__(self) -> None:
        for number, part in enumerate(self.datasets):
            if isinstance(part, dict):
                self.datasets[number] = MixturePart(**part)


def chosen(kind: type[Choice], value: str, key: str) -> Choice:
    """Return `value` of the recipe's `key` as one of `kind`. Raises `UserError` with the choices."""
    choices = [choice.value for choice in kind]
    if value not in choices:
        raise UserError(f"{key} is {value}, expected one of {', '.join(choices)}")
    return kind(value)


@dataclass
class RunArguments:
    """Keys of every training program: resume, sample answers at each evaluation, the doctor, forgetting."""

    resume: bool = False  # continue the unfinished run in output_dir
    # stop with a checkpoint this many hours after the start, for a queue's limit; --resume continues. None: no limit
    max_hours: float | None = None
    # keep the best checkpoint: loss (held-out), or in sft.py a metric of answers to held-out prompts, such as
    # stopped_by_itself, exact_match or passes_tests. Saves at each evaluation of the recipe, or each tenth of the run.
    # None: keep the last weights
    keep_best: KeepBest | None = None
    patience: int | None = None  # stop after so many evaluations without a new best. None: never
    # before step 1, run the largest batch that the sampler can form and undo it: out of memory shows at once
    worst_batch_first: bool = True
    # prompts answered at each evaluation. None: the first n_samples held-out prompts
    sample_prompts: list[str] | None = None
    n_samples: int = 3  # how many held-out prompts to answer; 0 for none
    sample_max_new_tokens: int = 64  # longest sample answer, in tokens
    # checks before step 1: error stops at errors, warn prints them, off skips the checks
    doctor: DoctorMode = DoctorMode.ERROR
    # for push_to_hub with a base in a local folder: the Hub id (ID or ID@REVISION) of the same weights
    hub_base_model: str | None = None
    # a text file whose bits per byte are measured before and after the run, for forgetting
    general_text: str | None = None

    def __post_init__(self) -> None:
        getattr(super(), "__post_init__", lambda: None)()
        self.doctor = chosen(DoctorMode, self.doctor, "doctor")
        self.keep_best = None if self.keep_best is None else chosen(KeepBest, self.keep_best, "keep_best")


@dataclass
class DataArguments(RunArguments, MixtureArguments, ScriptArguments):
    """TRL's `ScriptArguments` (`dataset_name`, ...) and `datasets:` mixture, and more keys for data."""

    # commit, tag or branch of a Hub dataset. None: the newest; the run records which
    dataset_revision: str | None = None
    # split that is evaluated during training. The test split is kept for the comparison
    dataset_test_split: str = "validation"
    # rows over max_length: drop, truncate_prompt, keep_end_token, split or error
    long_rows: TruncationPolicy = TruncationPolicy.DROP

    # Day (YYYY-MM-DD) for a chat template that writes today's date. None: today, recorded
    template_date: str | None = None
    max_answer_cut_share: float = 0.01  # share of the rows whose answer may be cut; the doctor stops a run above it
    max_dropped_share: float = 0.1  # share of the rows that may be dropped; the doctor stops a run above it

    def __post_init__(self) -> None:
        super().__post_init__()
        self.long_rows = chosen(TruncationPolicy, self.long_rows, "long_rows")
        for key in ("max_answer_cut_share", "max_dropped_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"{key} is {getattr(self, key)}, expected 0 to 1")


@dataclass
class InstructionArguments(DataArguments):
    """More keys of `sft.py`."""

    # assistant turns in the loss: all_turns, last_turn, or marked (those with weight: 1 or train: true). A turn with
    # weight: 0 or train: false never is
    train_on: TrainOn = TrainOn.ALL_TURNS
    # adapter to train further, with model_name_or_path as its base. None: a new adapter
    adapter_name_or_path: str | None = None
    keep_best_rows: int = 64  # held-out prompts that keep_best measures at each evaluation, drawn with the seed
    keep_best_max_new_tokens: int = 256  # longest answer to them, in tokens
    run_code: bool = False  # let keep_best run generated Python, in a sandbox (bubblewrap)
    # write row_losses.parquet at the end: the loss of each training row, or of a sample whose forward pass takes
    # about a tenth of the run
    row_losses: bool = True
    # rows of a step are computed in micro-batches by length of at most this many tokens, padding included; the
    # gradient is the same. auto: chosen for the device. 0: batches as TRL pads them
    max_tokens_per_micro_batch: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.train_on = chosen(TrainOn, self.train_on, "train_on")
        written = str(self.max_tokens_per_micro_batch)
        if written != "auto" and not written.isdecimal():
            raise UserError(f"max_tokens_per_micro_batch is {written}, expected auto or a number of tokens (0: off)")
        self.max_tokens_per_micro_batch = written


@dataclass
class PreferenceArguments(DataArguments):
    """More keys of `dpo.py`."""

    # adapter of sft.py to train on, with model_name_or_path as its base. The reference is a frozen copy of it. None:
    # a new adapter whose reference is the base with the adapter disabled
    adapter_name_or_path: str | None = None


@dataclass
class PretrainingArguments(RunArguments, MixtureArguments):
    """Keys of `pretrain.py` besides transformers' `TrainingArguments` and TRL's `ModelConfig`."""

    dataset_name: str | None = None  # a corpus folder; a text, JSONL or Parquet file; a folder of them; a Hub id
    dataset_config: str | None = None  # configuration of a Hub dataset
    dataset_revision: str | None = None  # commit, tag or branch of a Hub dataset
    dataset_train_split: str = "train"  # split to train on
    dataset_test_split: str = "validation"  # split that is held out
    text_column: str | None = None  # column with the text. None: text, content or code
    # share at the end of a plain text file that is held out. Corpus folders bring a split
    text_validation_share: float = 0.1
    n_validation_documents: int = 256  # documents at the head of a streamed source without a split that are held out
    respect_documents: bool = True  # no attention across documents, positions restart, no loss at the boundary
    model_type: str | None = None  # architecture by transformers' name, such as llama, for training from scratch
    # keys of that architecture's config; vocab_size and token ids come from the tokenizer
    model_config: dict[str, Any] | str | None = None
    tokenizer_name_or_path: str | None = None  # tokenizer for training from scratch. None: the checkpoint's own
    max_length: int = 1024  # length of a training block in tokens
    # peak learning rate of torch.optim.Muon for the matrices of the blocks; AdamW with learning_rate trains
    # embeddings and norms. None: AdamW for all
    muon_learning_rate: float | None = None
    save_dtype: str = "float32"  # dtype of the saved weights: float32 or bfloat16
