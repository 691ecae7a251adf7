"""What a chat template loses of the conversations that it renders, reported before figures rest on it."""

import sys
from collections import Counter
from collections.abc import Sequence

from data_prep.conversation import Conversation, PlainText
from pipelines.inference.processes import is_main_process
from pipelines.modeling import LoadedModel, lost_in_template


def template_losses(loaded: LoadedModel, asked: Sequence[str | Conversation | PlainText]) -> dict[str, int]:
    """How many conversations lose something in the model's template, by reason; reported on stderr too.

    Training leaves such rows out, so the model has not seen what is measured here. Requests alone lose nothing.
    """
    contexts = [one for one in asked if isinstance(one, Conversation) and len(one.messages) + bool(one.tools) > 1]
    reasons = Counter(reason for one in contexts if (reason := lost_in_template(loaded.tokenizer, one)))
    for reason, n in reasons.items() if is_main_process() else ():
        print(
            f"{loaded.name}: {n} of {len(asked)} prompts lose something in the chat template: {reason}", file=sys.stderr
        )
    return dict(reasons)
