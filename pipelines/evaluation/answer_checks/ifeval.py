"""The 25 instructions of IFEval in the words of `constraint_kinds`, by the names and arguments of its published rows.

J. Zhou et al., Instruction-Following Evaluation for Large Language Models (arXiv:2311.07911, 2023), table 1. Stated
differences from the published checker: keywords are literal, sentences are cut by `text_units`, languages are told by
py3langid, and JSON has no NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import UserError


@dataclass(frozen=True)
class Instruction:
    """Which kind an instruction is, what its arguments are called there, and those that it always has.

    `bound` names the two arguments, a relation ("less than" or "at least") and a number, that make at_most or at_least.
    """

    kind: str
    names: Mapping[str, str] = field(default_factory=dict)
    bound: tuple[str, str] | None = None
    always: Mapping[str, Any] = field(default_factory=dict)


INSTRUCTIONS: dict[str, Instruction] = {
    "keywords:existence": Instruction("includes", {"keywords": "words"}),
    "keywords:frequency": Instruction("keyword_frequency", {"keyword": "keyword"}, ("relation", "frequency")),
    "keywords:forbidden_words": Instruction("excludes", {"forbidden_words": "words"}),
    "keywords:letter_frequency": Instruction(
        "letter_frequency", {"letter": "letter"}, ("let_relation", "let_frequency")
    ),
    "language:response_language": Instruction("language", {"language": "language"}),
    "length_constraints:number_sentences": Instruction("n_sentences", bound=("relation", "num_sentences")),
    "length_constraints:number_paragraphs": Instruction(
        "n_paragraphs", {"num_paragraphs": "exactly"}, always={"separator": "***"}
    ),
    "length_constraints:number_words": Instruction("n_words", bound=("relation", "num_words")),
    "length_constraints:nth_paragraph_first_word": Instruction(
        "first_word_of_paragraph",
        {"first_word": "word", "nth_paragraph": "paragraph", "num_paragraphs": "n_paragraphs"},
    ),
    "detectable_content:number_placeholders": Instruction("n_placeholders", {"num_placeholders": "at_least"}),
    "detectable_content:postscript": Instruction("postscript", {"postscript_marker": "marker"}),
    "detectable_format:number_bullet_lists": Instruction("n_bullets", {"num_bullets": "exactly"}),
    "detectable_format:constrained_response": Instruction(
        "one_of", always={"options": ["My answer is yes.", "My answer is no.", "My answer is maybe."]}
    ),
    "detectable_format:number_highlighted_sections": Instruction("n_highlights", {"num_highlights": "at_least"}),
    "detectable_format:multiple_sections": Instruction(
        "n_sections", {"section_spliter": "heading", "num_sections": "at_least"}
    ),
    "detectable_format:json_format": Instruction("json"),
    "detectable_format:title": Instruction("title"),
    "combination:two_responses": Instruction("two_responses"),
    "combination:repeat_prompt": Instruction("repeats_prompt", {"prompt_to_repeat": "prompt"}),
    "startend:end_checker": Instruction("ends_with", {"end_phrase": "phrase"}),
    "startend:quotation": Instruction("quotation"),
    "change_case:capital_word_frequency": Instruction(
        "n_capital_words", bound=("capital_relation", "capital_frequency")
    ),
    "change_case:english_capital": Instruction("upper_case", always={"language": "en"}),
    "change_case:english_lowercase": Instruction("lower_case", always={"language": "en"}),
    "punctuation:no_comma": Instruction("no_commas"),
}


def kind_and_arguments(id: str, given: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """An IFEval instruction in our own words. Raises `UserError` for an unknown id, argument or relation."""
    if id not in INSTRUCTIONS:
        raise UserError(
            expected=f"an instruction of IFEval in {where}", got=repr(id), remedy=f"known are {', '.join(INSTRUCTIONS)}"
        )
    instruction = INSTRUCTIONS[id]
    bound = instruction.bound or ()
    unknown = [name for name in given if name not in instruction.names and name not in bound]
    if unknown:
        takes = ", ".join([*instruction.names, *bound]) or "none"
        raise UserError(expected=f"the arguments of {id} in {where}", got=unknown[0], remedy=f"it takes {takes}")
    arguments = {instruction.names[name]: value for name, value in given.items() if name in instruction.names}
    if bound:
        arguments |= _bound(given.get(bound[0]), given.get(bound[1]), f"{bound[0]} and {bound[1]} of {id} in {where}")
    return instruction.kind, {**arguments, **instruction.always}


def _bound(relation: Any, number: Any, what: str) -> dict[str, Any]:
    """`less than n` is at most n - 1."""
    if relation not in ("less than", "at least") or not isinstance(number, int | float):
        raise UserError(
            expected=f"{what}",
            got=f"{relation!r} and {number!r}",
            remedy='give "less than" or "at least", and a number',
        )
    return {"at_least": number} if relation == "at least" else {"at_most": number - 1}
