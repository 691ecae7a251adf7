"""What each trainer saves, at checkpoints and at the end: also what other engines need."""

from pathlib import Path
from typing import TYPE_CHECKING

from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer

from pipelines.modeling.serving_files import complete_saved_model

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
        if isinstance(self.processing_class, PreTrainedTokenizerBase):
            complete_saved_model(folder, self.processing_class)
