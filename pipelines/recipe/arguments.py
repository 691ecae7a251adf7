"""This project's own recipe keys, each documented on the field; all other keys are TRL's, PEFT's and transformers'."""

from dataclasses import dataclass, field
from typing import Any

from trl import ScriptArguments


@dataclass
class DataArguments(ScriptArguments):
    """TRL's `ScriptArguments` (`dataset_name`, `dataset_train_split`, ...) and what they lack."""

    dataset_revision: str | None = field(
        default=None,
        metadata={"help": "Commit, tag or branch of a Hub dataset. None: the newest; the run records which."},
    )
    dataset_test_split: str = field(
        default="validation",
        metadata={"help": "Split that is evaluated while training. The test split is kept for the comparison."},
    )
    resume: bool = field(default=False, metadata={"help": "Continue the unfinished run in output_dir."})


@dataclass
class PretrainingArguments:
    """What `pretrain.py` needs beyond transformers' `TrainingArguments`."""

    dataset_name: str | None = field(default=None, metadata={"help": "A corpus folder, or one plain text file."})
    text_validation_share: float = field(
        default=0.1,
        metadata={"help": "Share at the end of a plain text file that is held out. Corpus folders bring a split."},
    )
    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Checkpoint to continue from. None: from scratch, out of model_type and model_config."},
    )
    model_revision: str | None = field(default=None, metadata={"help": "Commit, tag or branch of a Hub checkpoint."})
    model_type: str | None = field(
        default=None, metadata={"help": "Architecture by transformers' name, such as llama."}
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
    resume: bool = field(default=False, metadata={"help": "Continue the unfinished run in output_dir."})
