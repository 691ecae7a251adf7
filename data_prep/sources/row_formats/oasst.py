"""OpenAssistant's message trees: one row for each message (flat export), or for each tree (`prompt`, `replies`)."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_prep.conversation import unknown_role_reason
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.message_tree import MessageNode, all_paths, best_path, ranked_pairs
from data_prep.sources.row_formats.row_format import (
    ConvertedRow,
    ForeignFormat,
    NumberedRow,
    Row,
    fits_nearly_all,
    is_false,
    is_true,
    number,
    only_by_name,
    without,
)

# Messages of other trees that may come between two messages of one tree. It bounds memory: about 30 MB of messages.
MAX_DISTANCE = 20_000
_ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}
_READ_OF_MESSAGE = (
    "message_id", "parent_id", "message_tree_id", "text", "role", "rank", "deleted", "review_result", "replies",
)  # fmt: skip
_FLAT = {"message_id", "parent_id", "message_tree_id", "text", "role"}
_KINDS = (DatasetKind.INSTRUCTIONS, DatasetKind.PREFERENCES)


@dataclass
class _OpenTree:
    """Messages of a flat export's tree that has not been converted yet; `last` is the number of its last message."""

    nodes: dict[str, MessageNode] = field(default_factory=dict)
    last: int = 0


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:
    return set(columns) >= _FLAT or fits_nearly_all(head, _is_tree)


def _is_tree(row: Row) -> bool:
    root = _root_of(row)
    return isinstance(root, Mapping) and "text" in root and "role" in root


def _root_of(row: Row) -> Any:
    """The first message of a tree: in `prompt`, or the row itself with its `replies`."""
    is_root = isinstance(row.get("replies"), list) and not row.get("message_tree_id")
    return row if is_root else row.get("prompt")


def _convert(paths: Callable[..., Iterator[ConvertedRow]]) -> Callable[..., Iterator[ConvertedRow]]:
    def stream(rows: Iterable[NumberedRow], kind: DatasetKind) -> Iterator[ConvertedRow]:
        convert_tree = ranked_pairs if kind is DatasetKind.PREFERENCES else paths
        open_trees: OrderedDict[str, _OpenTree] = OrderedDict()
        closed: set[str] = set()
        for place, (source_row, row) in enumerate(rows):
            if _is_tree(row):
                yield from convert_tree(_nested(row, source_row))
                continue
            tree_id, message_id = str(row.get("message_tree_id")), str(row.get("message_id"))
            if not row.get("message_tree_id") or not row.get("message_id"):
                yield source_row, "message_without_id"
            elif tree_id in closed:
                yield source_row, "tree_is_not_contiguous"
            else:
                tree = open_trees.setdefault(tree_id, _OpenTree())
                open_trees.move_to_end(tree_id)
                tree.last = place
                if message_id in tree.nodes:
                    yield source_row, "duplicate_message_id"
                else:
                    tree.nodes[message_id] = _node(row, source_row, tree_id)
            while open_trees and next(iter(open_trees.values())).last < place - MAX_DISTANCE:
                done, tree = open_trees.popitem(last=False)
                closed.add(done)
                yield from _close(tree, convert_tree)
        for tree in open_trees.values():
            yield from _close(tree, convert_tree)

    return stream


def _close(tree: _OpenTree, convert_tree: Callable[[MessageNode], Iterator[ConvertedRow]]) -> Iterator[ConvertedRow]:
    roots, reached = [], set[str]()
    for node in tree.nodes.values():
        parent = tree.nodes.get(node.parent_id)
        if parent is not None:
            parent.replies.append(node)
        elif not node.parent_id:
            roots.append(node)
    for root in roots:
        reached.update(one.source_row for one in root.all_nodes())
        yield from convert_tree(root)
    for node in tree.nodes.values():
        if node.source_row not in reached:
            yield node.source_row, "parent_is_missing"


def _node(row: Row, source_row: str, group: str) -> MessageNode:
    parent = row.get("parent_id")
    deleted, reviewed = row.get("deleted"), row.get("review_result")
    flaw = "deleted_message" if is_true(deleted) else "failed_review" if is_false(reviewed) else None
    role, text = _ROLES.get(str(row.get("role"))), str(row.get("text") or "")
    if flaw is None and (role is None or not text.strip()):
        flaw = "empty_message" if role else unknown_role_reason(row.get("role"))
    others = without(row, _READ_OF_MESSAGE)
    rank = number(row.get("rank"))
    return MessageNode(source_row, str(parent or ""), group, role or "", text, rank, flaw, others)


def _nested(row: Row, source_row: str) -> MessageNode:
    """Return the tree of one row of the tree export."""
    first = _root_of(row)
    group = str(row.get("message_tree_id") or first.get("message_id") or source_row)

    def node(message: Row, place: str) -> MessageNode:
        return _node(message, f"{source_row}:{message.get('message_id') or place}", group)

    root = node(first, "0")
    pending: list[tuple[MessageNode, Any, str]] = [(root, first.get("replies"), "0")]
    while pending:  # no recursion: a thread may be deep
        parent, replies, place = pending.pop()
        for n, reply in enumerate(replies if isinstance(replies, list) else ()):
            if isinstance(reply, Mapping):
                parent.replies.append(node(reply, f"{place}.{n}"))
                pending.append((parent.replies[-1], reply.get("replies"), f"{place}.{n}"))
    return root


OASST = ForeignFormat(
    "oasst",
    "OpenAssistant messages or trees; the best-ranked answers of each tree, or pairs of the best and the worst",
    _KINDS,
    _recognizes,
    _convert(best_path),
    whole_file_for=_KINDS,
)
OASST_ALL_PATHS = ForeignFormat(
    "oasst_all_paths",
    "OpenAssistant messages or trees; every path from a tree's root to a last answer",
    (DatasetKind.INSTRUCTIONS,),
    only_by_name,
    _convert(all_paths),
    whole_file_for=(DatasetKind.INSTRUCTIONS,),
)
