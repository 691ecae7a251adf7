"""What each trainer saves, at checkpoints and at the end: also what other engines need, and a seal."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pipelines.files import read_json, write_json_atomically
from pipelines.modeling.serving_files import complete_saved_model
from pipelines.records.checkpoint import remove_older_checkpoints, seal_checkpoint, unseal_checkpoint

_SETS = ("target_modules", "modules_to_save", "target_parameters", "exclude_modules")

if TYPE_CHECKING:
    _AnyTrainer = Trainer
else:
    _AnyTrainer = object


class CompleteSaving(_AnyTrainer):
    """A mixin before a trainer class: adds the generation config of an adapter (PEFT leaves it out), completes the
    files for other engines, and seals each checkpoint before an older one is removed.

    `cost_so_far` returns what a checkpoint records as the cost of the run.
    """

    cost_so_far: Callable[[], dict[str, Any]] = dict

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            unseal_checkpoint(folder)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()  # each rank has its own files
        if self.args.should_save:
            seal_checkpoint(folder, self.cost_so_far())
            remove_older_checkpoints(folder, limit, self.state.best_model_checkpoint)

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
