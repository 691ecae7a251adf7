"""A tree of messages: its conversations, its pairs of a better and a worse answer, and what is in none of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from data_prep.sources.row_formats.row_format import ConvertedRow


@dataclass(eq=False)
class MessageNode:
    """A message and its replies. `rank` is 0 for the best answer; a message with a `flaw` is left out."""

    source_row: str
    parent_id: str
    group: str
    role: str
    text: str
    rank: float | None
    flaw: str | None
    others: dict[str, Any]
    replies: list["MessageNode"] = field(default_factory=list)

    def all_nodes(self) -> Iterator["MessageNode"]:
        """Yield this message and all below it, each before its replies."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending += reversed(node.replies)

    def message(self) -> dict[str, str]:
        return {"role": self.role, "content": self.text}


Path = list[MessageNode]


def best_path(root: MessageNode) -> Iterator[ConvertedRow]:
    """Yield one conversation: at each message the best-ranked reply; then the other messages with their reasons."""
    path = next(_paths(root), [])
    yield from _conversations([path] if path else [], root, "not_in_best_path")


def all_paths(root: MessageNode) -> Iterator[ConvertedRow]:
    """Yield a conversation for each last answer of the tree; then messages in none of them with their reasons."""
    yield from _conversations(list(_paths(root)), root, "")


def ranked_pairs(root: MessageNode) -> Iterator[ConvertedRow]:
    """Yield for each question its best-ranked answer against its worst; then messages in no pair."""
    used: set[str] = set()
    for path in _usable(root):
        ranked = [one for one in path[-1].replies if _follows(path[-1], one) and one.role == "assistant"]
        ranked = sorted((one for one in ranked if one.rank is not None), key=lambda one: one.rank or 0.0)
        if len(ranked) < 2 or ranked[0].rank == ranked[-1].rank:
            continue
        best, worst = ranked[0], ranked[-1]
        used.update(one.source_row for one in (*path, best, worst))
        sides = {"chosen": [best.message()], "rejected": [worst.message()]}
        prompt = [one.message() for one in path]
        yield best.source_row, {**best.others, "prompt": prompt, **sides, "group": root.group}
    yield from _left_out(root, used, "not_in_a_pair")


def _conversations(paths: Iterable[Path], root: MessageNode, reason: str) -> Iterator[ConvertedRow]:
    used: set[str] = set()
    for path in paths:
        used.update(one.source_row for one in path)
        messages = [one.message() for one in path]
        yield path[-1].source_row, {**path[-1].others, "messages": messages, "group": root.group}
    yield from _left_out(root, used, reason)


def _left_out(root: MessageNode, used: set[str], reason: str) -> Iterator[ConvertedRow]:
    """Yield messages that are not `used`: with their flaw, else for their place in the tree, else with `reason`."""
    lost: set[str] = set()  # replies to a message that is left out
    for node in root.all_nodes():
        flaw = node.flaw or ("reply_to_rejected_message" if node.source_row in lost else None)
        if flaw is not None:
            lost.update(reply.source_row for reply in node.replies)
        if node.source_row not in used:
            is_open = node.role == "user" and not any(reply.flaw is None for reply in node.replies)
            yield node.source_row, flaw or ("no_answer" if is_open else reason or "roles_do_not_alternate")


def _follows(node: MessageNode, reply: MessageNode) -> bool:
    return reply.flaw is None and reply.role != node.role


def _usable(root: MessageNode) -> Iterator[Path]:
    """Yield the path to each message that can be used, each before those below it, better-ranked replies first."""
    pending: list[Path] = [[root]] if root.flaw is None and root.role == "user" else []
    while pending:
        path = pending.pop()
        yield path
        replies = [reply for reply in path[-1].replies if _follows(path[-1], reply)]
        replies.sort(key=lambda one: float("inf") if one.rank is None else one.rank)  # stable: equal ranks keep order
        pending += [[*path, reply] for reply in reversed(replies)]


def _paths(root: MessageNode) -> Iterator[Path]:
    """Yield each path that ends with an answer after which no other answer comes, the best-ranked first."""
    last: Path = []
    for path in _usable(root):
        if path[-1].role != "assistant":
            continue
        if last and path[: len(last)] != last:
            yield last
        last = path
    if last:
        yield last
