"""Send one prompt to both models, after a system text and earlier turns, and yield their answers as they grow."""

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
    """An earlier turn: the request and each model's answer."""

    request: str
    base: str
    instruct: str


@dataclass(frozen=True)
class Question:
    """What the user asks both models, and the prompt style of the base. Each model gets its own `earlier` answers."""

    instruction: str
    input: str
    base_style: PromptStyle
    policy: SamplingPolicy
    system: str = ""
    earlier: tuple[Exchange, ...] = ()

    @property
    def request(self) -> str:
        """Return the prompt and the input as one text."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    @property
    def for_base(self) -> Conversation:
        """Return the base's context."""
        return self._conversation([one.base for one in self.earlier])

    @property
    def for_instruct(self) -> Conversation:
        """Return the instruct model's context."""
        return self._conversation([one.instruct for one in self.earlier])

    def _conversation(self, answers: Sequence[str]) -> Conversation:
        messages = [{"role": "system", "content": self.system}] if self.system.strip() else []
        for one, answer in zip(self.earlier, answers, strict=True):
            messages += [{"role": "user", "content": one.request}, {"role": "assistant", "content": answer}]
        return Conversation([*messages, {"role": "user", "content": self.request}])

    def __post_init__(self) -> None:
        """Raises `UserError` for a prompt without text."""
        if not self.instruction.strip():
            raise UserError("the prompt is empty", "type one and press Generate")


@dataclass(frozen=True)
class Side:
    """One model's prompt (with special tokens), its answers so far, and at the end each token's alternatives."""

    read: str
    progress: Progress
    choices: Choices | None = None


@dataclass(frozen=True)
class Scene:
    """Both models at one moment; `was_stopped` if the user stopped them."""

    base: Side
    instruct: Side
    was_stopped: bool = False

    @property
    def is_last(self) -> bool:
        """Whether it is the last one: it has the probabilities."""
        return self.base.choices is not None


def put_to_both(pair: ModelPair, question: Question, asked_to_stop: Callable[[], bool]) -> Iterator[Scene]:
    """Yield the scenes of both models answering `question` in turn; `asked_to_stop` ends the answers.

    Raises `UserError` for a prompt longer than a model's context.
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
    progress: list[Progress] = []
    for progress in in_turn([stream_answers(*one, question.policy) for one in zip(models, prompts, strict=True)]):
        base, instruct = (Side(*side) for side in zip(read, progress, strict=True))
        yield Scene(base, instruct)
        was_stopped = asked_to_stop() and not all(one.is_done for one in progress)
        if was_stopped:
            break
    choices = [_choices(*one) for one in zip(models, prompts, progress, strict=True)]
    base, instruct = (Side(*side) for side in zip(read, progress, choices, strict=True))
    yield Scene(base, instruct, was_stopped)


def _refuse_full(loaded: LoadedModel, prompt: Sequence[int]) -> None:
    limit = loaded.max_positions
    if limit is not None and len(prompt) >= limit:
        problem = f"the prompt has {len(prompt)} tokens, expected fewer than {limit} for the {loaded.name} model"
        raise UserError(problem, "shorten the prompt")


def _choices(loaded: LoadedModel, prompt: list[int], progress: Progress) -> Choices:
    return token_choices_of(loaded, [prompt] * len(progress.answers), progress.answers)
