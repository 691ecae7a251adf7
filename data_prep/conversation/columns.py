"""Names under which datasets keep the parts of a row, the most specific first: the one list for all readers of rows."""

# own name first: a file that has both `output` and `answer` means `output`
ALIASES: dict[str, tuple[str, ...]] = {
    "instruction": ("instruction", "prompt", "question", "query", "problem", "definition"),
    "input": ("input", "context", "inputs"),
    "output": ("output", "response", "answer", "completion", "solution", "targets", "target"),
    "chosen": ("chosen", "chosen_messages"),
    "rejected": ("rejected", "rejected_messages"),
    "system": ("system", "system_prompt"),
    "text": ("text", "content"),
}
# whole conversations, in place of the columns above
CONVERSATION_COLUMNS = ("messages", "conversations")
