"""This project's own recipe keys, documented on the fields. All other keys are TRL's, PEFT's and transformers'."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from trl import ScriptArguments
from trl.scripts.utils import DatasetConfig, DatasetMixtureConfig

from data_prep.conversation import TrainOn
from pipelines.errors import UserError

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

    resume: bool = field(default=False, metadata={"help": "Continue the unfinished run in output_dir."})
    sample_prompts: list[str] | None = field(
        default=None,
        metadata={"help": "Prompts answered at each evaluation. None: the first n_samples held-out prompts."},
    )
    n_samples: int = field(default=3, metadata={"help": "How many held-out prompts to answer; 0 for none."})
    sample_max_new_tokens: int = field(default=64, metadata={"help": "Longest sample answer, in tokens."})
    doctor: DoctorMode = field(
        default=DoctorMode.ERROR,
        metadata={"help": "Checks before step 1: error stops at errors, warn prints them, off skips the checks."},
    )
    hub_base_model: str | None = field(
        default=None,
        metadata={
            "help": "For push_to_hub with a base in a local folder: the Hub id (ID or ID@REVISION) of the same weights."
        },
    )
    general_text: str | None = field(
        default=None,
        metadata={"help": "A text file whose bits per byte are measured before and after the run, for forgetting."},
    )

    def __post_init__(self) -> None:
        getattr(super(), "__post_init__", lambda: None)()
        self.doctor = chosen(DoctorMode, self.doctor, "doctor")


@dataclass
class DataArguments(RunArguments, MixtureArguments, ScriptArguments):
    """TRL's `ScriptArguments` (`dataset_name`, ...) and `datasets:` mixture, and more keys for data."""

    dataset_revision: str | None = field(
        default=None,
        metadata={"help": "Commit, tag or branch of a Hub dataset. None: the newest; the run records which."},
    )
    dataset_test_split: str = field(
        default="validation",
        metadata={"help": "Split that is evaluated during training. The test split is kept for the comparison."},
    )
    long_rows: TruncationPolicy = field(
        default=TruncationPolicy.DROP,
        metadata={"help": "Rows over max_length: drop, truncate_prompt, keep_end_token, split or error."},
    )

    template_date: str | None = field(
        default=None,
        metadata={"help": "Day (YYYY-MM-DD) for a chat template that writes today's date. None: today, recorded."},
    )
    max_answer_cut_share: float = field(
        default=0.01,
        metadata={"help": "Share of the rows whose answer may be cut; the doctor stops a run above it."},
    )
    max_dropped_share: float = field(
        default=0.1, metadata={"help": "Share of the rows that may be dropped; the doctor stops a run above it."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.long_rows = chosen(TruncationPolicy, self.long_rows, "long_rows")
        for key in ("max_answer_cut_share", "max_dropped_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"{key} is {getattr(self, key)}, expected 0 to 1")


@dataclass
class InstructionArguments(DataArguments):
    """More keys of `sft.py`."""

    train_on: TrainOn = field(
        default=TrainOn.ALL_TURNS,
        metadata={
            "help": "Assistant turns in the loss: all_turns, last_turn, or marked (those with weight: 1 or train: "
            "true). A turn with weight: 0 or train: false never is."
        },
    )
    adapter_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Adapter to train further, with model_name_or_path as its base. None: a new adapter."},
    )
    row_losses: bool = field(
        default=True,
        metadata={
            "help": "Write row_losses.parquet at the end: the loss of each training row, or of a sample whose forward "
            "pass takes about a tenth of the run."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.train_on = chosen(TrainOn, self.train_on, "train_on")


@dataclass
class PreferenceArguments(DataArguments):
    """More keys of `dpo.py`."""

    adapter_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "Adapter of sft.py to train on, with model_name_or_path as its base. The reference is a frozen "
            "copy of it. None: a new adapter whose reference is the base with the adapter disabled."
        },
    )


@dataclass
class PretrainingArguments(RunArguments, MixtureArguments):
    """Keys of `pretrain.py` besides transformers' `TrainingArguments` and TRL's `ModelConfig`."""

    dataset_name: str | None = field(
        default=None, metadata={"help": "A corpus folder; a text, JSONL or Parquet file; a folder of them; a Hub id."}
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a Hub dataset."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Commit, tag or branch of a Hub dataset."})
    dataset_train_split: str = field(default="train", metadata={"help": "Split to train on."})
    dataset_test_split: str = field(default="validation", metadata={"help": "Split that is held out."})
    text_column: str | None = field(
        default=None, metadata={"help": "Column with the text. None: text, content or code."}
    )
    text_validation_share: float = field(
        default=0.1,
        metadata={"help": "Share at the end of a plain text file that is held out. Corpus folders bring a split."},
    )
    n_validation_documents: int = field(
        default=256, metadata={"help": "Documents at the head of a streamed source without a split that are held out."}
    )
    respect_documents: bool = field(
        default=True,
        metadata={"help": "No attention across documents, positions restart, no loss at the boundary."},
    )
    model_type: str | None = field(
        default=None, metadata={"help": "Architecture by transformers' name, such as llama, for training from scratch."}
    )
    model_config: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "Keys of that architecture's config; vocab_size and token ids come from the tokenizer."},
    )
    tokenizer_name_or_path: str | None = field(
        default=None, metadata={"help": "Tokenizer for training from scratch. None: the checkpoint's own."}
    )
    max_length: int = field(default=1024, metadata={"help": "Length of a training block in tokens."})
    muon_learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "Peak learning rate of torch.optim.Muon for the matrices of the blocks; AdamW with learning_rate "
            "trains embeddings and norms. None: AdamW for all."
        },
    )
    save_dtype: str = field(default="float32", metadata={"help": "dtype of the saved weights: float32 or bfloat16."})
