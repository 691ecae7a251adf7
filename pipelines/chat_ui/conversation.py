"""One prompt put to both models, after a system text and earlier turns: scene after scene until both have answered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from data_prep.conversation import Conversation
from pipelines.chat_ui.model_pair import ModelPair
from pipelines.chat_ui.streaming import Progress, in_turn, stream_answers
from pipelines.errors import UserError
from pipelines.inference.generation import TokenChoice, token_choices_of
from pipelines.inference.sampling import SamplingPolicy
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt

Choices = list[list[TokenChoice]]  # of each sample, its tokens


@dataclass(frozen=True)
class Exchange:
    """An earlier turn: what was asked, and what each model answered."""

    request: str
    base: str
    instruct: str


@dataclass(frozen=True)
class Question:
    """What the page asks both models. The instruct model's prompt style is its own, the base's is chosen.

    Of the `earlier` turns each model is given its own answers.
    """

    instruction: str
    input: str
    base_style: PromptStyle
    policy: SamplingPolicy
    system: str = ""
    earlier: tuple[Exchange, ...] = ()

    @property
    def request(self) -> str:
        """The prompt and the input as one text."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    @property
    def for_base(self) -> Conversation:
        """What the base is given before it answers."""
        return self._conversation([one.base for one in self.earlier])

    @property
    def for_instruct(self) -> Conversation:
        """What the instruct model is given before it answers."""
        return self._conversation([one.instruct for one in self.earlier])

    def _conversation(self, answers: Sequence[str]) -> Conversation:
        messages = [{"role": "system", "content": self.system}] if self.system.strip() else []
        for one, answer in zip(self.earlier, answers, strict=True):
            messages += [{"role": "user", "content": one.request}, {"role": "assistant", "content": answer}]
        return Conversation([*messages, {"role": "user", "content": self.request}])

    def __post_init__(self) -> None:
        """Raises `UserError` for a prompt without text."""
        if not self.instruction.strip():
            raise UserError(expected="a prompt", got="an empty one", remedy="type one and press Generate")


@dataclass(frozen=True)
class Side:
    """What one model read, special tokens included, what it said up to now, and at the end each token's rivals."""

    read: str
    progress: Progress
    choices: Choices | None = None


@dataclass(frozen=True)
class Scene:
    """Both models at one moment; `was_stopped` if they were told to stop before they were done."""

    base: Side
    instruct: Side
    was_stopped: bool = False

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it: the probabilities are there."""
        return self.base.choices is not None


def put_to_both(pair: ModelPair, question: Question, asked_to_stop: Callable[[], bool]) -> Iterator[Scene]:
    """The scenes of both models answering `question` in turn. After `asked_to_stop` says yes, the last one follows.

    Raises `UserError` for a prompt that fills a model's positions.
    """
    asked = pair.asked(question.base_style)
    models = [loaded for loaded, _ in asked]
    contexts = [question.for_base, question.for_instruct]
    prompts = [
        render_prompt(one.tokenizer, context, style) for (one, style), context in zip(asked, contexts, strict=True)
    ]
    for loaded, prompt in zip(models, prompts, strict=True):
        _refuse_full(loaded, prompt)
    read = [str(loaded.tokenizer.decode(prompt)) for loaded, prompt in zip(models, prompts, strict=True)]
    was_stopped = False
    said: list[Progress] = []
    for said in in_turn([stream_answers(*one, question.policy) for one in zip(models, prompts, strict=True)]):
        base, instruct = (Side(*side) for side in zip(read, said, strict=True))
        yield Scene(base, instruct)
        was_stopped = asked_to_stop() and not all(one.is_done for one in said)
        if was_stopped:
            break
    choices = [_choices(*one) for one in zip(models, prompts, said, strict=True)]
    base, instruct = (Side(*side) for side in zip(read, said, choices, strict=True))
    yield Scene(base, instruct, was_stopped)


def _refuse_full(loaded: LoadedModel, prompt: Sequence[int]) -> None:
    limit = loaded.max_positions
    if limit is not None and len(prompt) >= limit:
        raise UserError(
            expected=f"a prompt of fewer than {limit} tokens, which is what the {loaded.name} model can read",
            got=f"{len(prompt)} tokens",
            remedy="shorten the prompt",
        )


def _choices(loaded: LoadedModel, prompt: list[int], progress: Progress) -> Choices:
    return token_choices_of(loaded, [prompt] * len(progress.answers), progress.answers)
