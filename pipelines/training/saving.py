"""What each trainer saves as its model, at checkpoints and at the end: also what other engines need."""

from pathlib import Path
from typing import TYPE_CHECKING

from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer

from pipelines.files import read_json, write_json_atomically
from pipelines.modeling.serving_files import complete_saved_model

_SETS = ("target_modules", "modules_to_save", "target_parameters", "exclude_modules")

if TYPE_CHECKING:
    _AnyTrainer = Trainer
else:
    _AnyTrainer = object


class CompleteSaving(_AnyTrainer):
    """A mixin before a trainer class: adds the generation config of an adapter (PEFT leaves it out), and completes the
    files for other engines."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        if isinstance(self.model, PeftModel):
            self.model.generation_config.save_pretrained(str(folder))
            _sort_lists(folder / "adapter_config.json")
        if isinstance(self.processing_class, PreTrainedTokenizerBase):
            complete_saved_model(folder, self.processing_class)


def _sort_lists(path: Path) -> None:
    """PEFT writes sets of modules in an order that changes from process to process; two equal runs are equal files."""
    config = read_json(path)
    lists = {key: sorted(value) for key, value in config.items() if key in _SETS and isinstance(value, list)}
    write_json_atomically(path, {**config, **lists})
