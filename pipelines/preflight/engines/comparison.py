"""Compare what other template engines render with what is trained."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

from pipelines.modeling.chat.alignment import n_equal
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.evidence import Check, printable
from pipelines.preflight.engines.llama_cpp_engine import LlamaCpp
from pipelines.preflight.engines.minijinja_engine import Minijinja
from pipelines.preflight.engines.node_engine import HuggingFaceJinja
from pipelines.preflight.engines.prompts import Prompt, other_prompts, row_prompts
from pipelines.preflight.engines.template_engine import Rendered, TemplateEngine
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

ENGINES: Sequence[TemplateEngine] = (Minijinja(trims=True), Minijinja(trims=False), HuggingFaceJinja(), LlamaCpp())
_AROUND = 20  # characters before and after the first difference


def other_engines(context: CheckContext, engines: Sequence[TemplateEngine] = ENGINES) -> Iterator[Finding]:
    """TEMPLATE_ENGINE_DIFFERS: an engine renders another prompt; TEMPLATE_ENGINES: which were asked."""
    of_rows = row_prompts(context) if context.is_conversational and context.tokenizer.chat_template else []
    others = other_prompts(context.tokenizer) if of_rows else []
    lines = []
    for engine in engines:
        version = engine.version()
        if version is None:
            lines.append(f"{engine.name}: not installed ({engine.how_to_install})")
            continue
        found = [one for one in rendered_by(engine, [*of_rows, *others]) if one[1].text != one[0].trained]
        different = [one for one in found if one[0].row is not None]
        elsewhere = [one for one in found if one[0].row is None]
        lines.append(
            f"{engine.name} ({version}): {len(of_rows) - len(different)} of {len(of_rows)} prompts of the rows and "
            f"{len(others) - len(elsewhere)} of {len(others)} of other kinds are equal"
        )
        if different:
            yield _difference(engine, Severity.WARNING, different, f"{len(of_rows)} prompts of the rows")
        elif elsewhere:
            yield _difference(engine, Severity.NOTE, elsewhere, f"{len(others)} prompts of kinds that the rows lack")
    yield Finding(
        "TEMPLATE_ENGINES",
        Severity.NOTE,
        summary="template engines that were compared with transformers",
        why="servers and browsers render the chat template with engines of their own",
        remedy="install the missing ones to compare them too; nothing to do otherwise",
        evidence=tuple(map(Evidence, lines)),
    )


def first_difference(trained: str, rendered: str) -> str:
    """Both texts around their first difference."""
    place = n_equal(trained, rendered)
    begin = max(0, place - _AROUND)
    shown = [printable(text[begin : place + _AROUND]) or "nothing" for text in (trained, rendered)]
    return f'trained "{shown[0]}", rendered "{shown[1]}"'


def rendered_by(engine: TemplateEngine, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Rendered]]:
    """Each prompt with what `engine` makes of it. A tokenizer may have another template for tools."""
    for template, group in groupby(sorted(prompts, key=lambda one: one.template), key=lambda one: one.template):
        same = list(group)
        yield from zip(same, engine.render(template, [one.read for one in same]), strict=True)


def _difference(
    engine: TemplateEngine, severity: Severity, found: Sequence[tuple[Prompt, Rendered]], of_what: str
) -> Finding:  # fmt: skip
    seen: dict[str, Evidence] = {}
    for prompt, one in found:
        text = first_difference(prompt.trained, one.text) if one.text is not None else one.error
        place = (prompt.row, None if prompt.row is None else "train")
        seen.setdefault(text, Evidence(f"{prompt.name}: {text}", *place))
    rows = {prompt.row for prompt, _ in found if prompt.row is not None}
    return Finding(
        "TEMPLATE_ENGINE_DIFFERS",
        severity,
        summary=f"{engine.name} renders {len(found)} of {of_what} differently",
        why="a server with this engine sends prompts that the model was not trained on, or none",
        remedy="serve with another engine, or write the template so that all engines render it alike "
        "(chat_template_path)",
        evidence=tuple(islice(seen.values(), MAX_EVIDENCE)),
        n_rows=len(rows) or None,
    )


CHECKS: tuple[Check, ...] = (other_engines,)
