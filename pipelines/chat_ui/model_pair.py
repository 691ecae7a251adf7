"""Load the base and the instruct model together; an adapter shares the base's tensors."""

from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedModel

from pipelines.hub.model_ref import resolve_compared
from pipelines.inference.loading import load_for_inference, with_template_of
from pipelines.inference.shared_base import adapted_copy
from pipelines.modeling import LoadedModel, PromptStyle, load_tokenizer


@dataclass(frozen=True)
class ModelPair:
    """Both models; `templated_base` is the base in the instruct model's chat template, None where there is none
    or where it does not fit the base's vocabulary."""

    base: LoadedModel
    templated_base: LoadedModel | None
    instruct: LoadedModel

    @property
    def base_styles(self) -> list[PromptStyle]:
        """Return the prompt styles of the base."""
        return [PromptStyle.PLAIN, PromptStyle.RAW, *([PromptStyle.CHAT] if self.templated_base else [])]

    @property
    def instruct_style(self) -> PromptStyle:
        """Return CHAT if the instruct model has a chat template, else PLAIN."""
        return PromptStyle.CHAT if self.instruct.has_chat_template else PromptStyle.PLAIN

    def asked(self, base_style: PromptStyle) -> list[tuple[LoadedModel, PromptStyle]]:
        """Return the base for prompts of `base_style` and the instruct model, each with its style."""
        templated = self.templated_base if base_style is PromptStyle.CHAT else None
        return [(templated or self.base, base_style), (self.instruct, self.instruct_style)]

    @property
    def shares_weights(self) -> bool:
        """Whether the instruct model is an adapter over the base's own tensors."""
        return bool(self._tensors(self.base).keys() & self._tensors(self.instruct).keys())

    @property
    def n_bytes(self) -> int:
        """Return the memory of all weights, shared ones counted once."""
        models = [one for one in (self.base, self.templated_base, self.instruct) if one]
        return sum({place: size for one in models for place, size in self._tensors(one).items()}.values())

    @staticmethod
    def _tensors(loaded: LoadedModel) -> dict[int, int]:
        """The size in bytes of each tensor by its address."""
        return {one.data_ptr(): one.nbytes for one in (*loaded.model.parameters(), *loaded.model.buffers())}


def load_pair(base: str, instruct: str) -> ModelPair:
    """Load `base` (folder or Hub id) and `instruct` (a model, or an adapter of `base`).

    Raises `UserError` if one cannot be loaded, or the adapter was trained on another base.
    """
    base_ref, instruct_ref = resolve_compared(base, [instruct])
    alone = load_for_inference(base_ref, name="base")
    if instruct_ref.adapter is not None:
        tokenizer = load_tokenizer(*instruct_ref.tokenizer_source)
        adapted = adapted_copy(cast(PreTrainedModel, alone.model), instruct, tokenizer)
        instructed = LoadedModel("instruct", instruct, adapted, tokenizer)
    else:
        instructed = load_for_inference(instruct_ref, name="instruct")
    return ModelPair(alone, with_template_of(alone, instructed.tokenizer), instructed)
