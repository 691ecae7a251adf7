"""The metrics of an answer, in the order of a page."""

from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition


def _flag(name: str, label: str, better: str, meaning: str, group: Group) -> MetricDefinition:
    return MetricDefinition(name, label, "share", better, meaning, group, is_flag=True)


def _number(name: str, label: str, unit: str, better: str, meaning: str, group: Group) -> MetricDefinition:
    return MetricDefinition(name, label, unit, better, meaning, group)


# distinct-1 is a module too and on no page: it falls as a text grows, whatever the text.
RESPONSE_METRICS: tuple[MetricDefinition, ...] = (
    _flag(
        "empty_answers",
        "empty answers",
        "lower",
        "share of answers without any text; such an answer neither stops by itself nor has a part in what is said of "
        "the text of answers",
        Group.STOPPING,
    ),
    _flag(
        "stopped_by_itself",
        "stops by itself",
        "higher",
        "share of answers that say something and ended with the model's own end token before the token limit",
        Group.STOPPING,
    ),
    _number(
        "n_tokens",
        "answer length",
        "tokens",
        "neither",
        "mean length of an answer, end token excluded",
        Group.STOPPING,
    ),
    _number(
        "n_words",
        "answer length in words",
        "words",
        "neither",
        "mean number of words of an answer, which models of different tokenizers share",
        Group.STOPPING,
    ),
    _number(
        "repetition",
        "repetition",
        "share",
        "lower",
        "share of an answer's runs of four words or symbols that occurred in it before",
        Group.TEXT,
    ),
    _number(
        "distinct_2",
        "distinct-2",
        "share",
        "neither",
        "share of an answer's pairs of neighbouring words or symbols that are distinct; noise has the most",
        Group.TEXT,
    ),
    _flag(
        "ends_in_loop",
        "ends in a loop",
        "lower",
        "share of answers that end in one stretch said three times or more",
        Group.TEXT,
    ),
    _number(
        "prompt_echo",
        "echo of the prompt",
        "share",
        "neither",
        "share of an answer's runs of four words or symbols that the prompt holds; prompts for code left out",
        Group.TEXT,
    ),
    _flag(
        "begins_with_prompt",
        "begins with the prompt",
        "lower",
        "share of answers that begin by repeating the instruction; prompts for code left out",
        Group.TEXT,
    ),
    _flag(
        "same_language",
        "language of the prompt",
        "higher",
        "share of answers in the prompt's language, where both are long and plain enough to tell; code left out",
        Group.TEXT,
    ),
    _flag(
        "follows_all_constraints",
        "follows every constraint",
        "higher",
        "share of answers that follow every verifiable constraint of their prompt",
        Group.INSTRUCTION,
    ),
    _number(
        "constraints_followed",
        "constraints followed",
        "share",
        "higher",
        "share of a prompt's verifiable constraints that its answer follows, mean over prompts",
        Group.INSTRUCTION,
    ),
    _flag(
        "exact_match",
        "exact match",
        "higher",
        "share of answers that are the reference but for case, punctuation and articles; references of up to 10 words",
        Group.REFERENCE,
    ),
    _number(
        "token_f1",
        "token F1",
        "share",
        "higher",
        "overlap of an answer's words with the reference's, as bags of words; references of up to 10 words",
        Group.REFERENCE,
    ),
    _number(
        "rouge_l",
        "ROUGE-L",
        "share",
        "higher",
        "longest common subsequence of words with the reference, F-measure; prompts for code left out",
        Group.REFERENCE,
    ),
    _number(
        "chrf",
        "chrF",
        "share",
        "higher",
        "overlap of runs of one to six characters with the reference, F2 of each answer, from 0 to 1",
        Group.REFERENCE,
    ),
    _flag(
        "numeric_answer",
        "right number",
        "higher",
        "share of answers whose number, after #### or else the last, equals the expected one",
        Group.REFERENCE,
    ),
    _flag(
        "parses",
        "parses",
        "higher",
        "share of answers that are not empty and parse as Python as a whole",
        Group.PYTHON,
    ),
    _flag(
        "defines_requested_name",
        "defines the requested name",
        "higher",
        "share of answers that define the function that was asked for, in their longest part that parses",
        Group.PYTHON,
    ),
    _flag(
        "takes_requested_parameters",
        "takes the requested parameters",
        "higher",
        "share of answers whose function has the parameters that were asked for, in their order",
        Group.PYTHON,
    ),
)
