"""ChatGPT's export, ``conversations.json``: each chat a tree of messages, of which the branch that was current is read.

The reading follows the page ``chat.html`` that comes with an export: from ``current_node`` up by ``parent``, without
system messages other than the user's own. What that page leaves out and was said nevertheless (code, its output, quotes
of web pages) is shown as in OpenAI messages.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from freqq.data.fields import bounded, kind, listed
from freqq.data.json_values import json_values
from freqq.data.sample import Sample, Turn
from freqq.errors import UserError

UNSHOWN = ("thoughts", "reasoning_recap", "user_editable_context", "model_editable_context")
"""Contents that were never part of the chat that its user saw: reasoning, memories, settings."""


def is_export(value: object) -> bool:
    """Whether a file whose first value this is holds such chats."""
    return isinstance(value, dict) and isinstance(value.get("mapping"), dict)


def chatgpt_samples(path: Path, name: str) -> Iterator[Sample]:
    """The chats of an export, with ids ``NAME-INDEX``; one in which nothing was said is left out.

    Raises
    ------
    UserError
        With file and line, if a value is no such chat, or its tree has a cycle.
    """
    for index, item in enumerate(json_values(path)):
        chat = branch_turns(item.value, f"{path}, line {item.line}")
        if chat:
            yield Sample(f"{name}-{index}", turns=chat)


def branch_turns(chat: object, where: str) -> tuple[Turn, ...]:
    """The messages of the current branch that its user saw, in their order.

    Without ``current_node`` the branch is that of the last child of each message. A parent that the tree does not have
    ends the branch, as that of a chat's first message often does.

    Raises
    ------
    UserError
        If it is no chat, ``current_node`` names none of its messages, or the branch comes back to where it was.
    """
    if not isinstance(chat, dict) or not isinstance(chat.get("mapping"), dict):
        has = f"it has {listed(chat)}" if isinstance(chat, dict) else f"it is {kind(chat)}"
        raise UserError(f"{where}: a chat of ChatGPT's export needs the object 'mapping'; {has}")
    tree = chat["mapping"]
    for identity, node in tree.items():
        if not isinstance(node, dict):
            raise UserError(f"{where}: node {identity[:40]!r} of 'mapping' has to be an object, not {kind(node)}")
    leaf = chat.get("current_node")
    if leaf is None:
        leaf = _last_leaf(tree, where)
    elif not isinstance(leaf, str) or leaf not in tree:
        raise UserError(f"{where}: 'current_node' ({str(leaf)[:40]!r}) is not in 'mapping'")
    parents = _parents(tree)
    path = _followed(leaf, lambda identity: parents.get(identity), tree, where) if leaf is not None else []
    said = ((identity, _turn(tree[identity].get("message"))) for identity in reversed(path))
    return tuple(
        Turn(turn.role, bounded(turn.text, f"{where}, message {identity[:40]!r}")) for identity, turn in said if turn
    )


def _parents(tree: Mapping[str, Any]) -> dict[str, str]:
    """Each node's parent; that of a node which does not say is the one that names it among its children."""
    found = {child: identity for identity in tree for child in _children(tree[identity])}
    return found | {identity: node["parent"] for identity, node in tree.items() if "parent" in node}


def _children(node: Mapping[str, Any]) -> list[str]:
    children = node.get("children")
    return [child for child in children if isinstance(child, str)] if isinstance(children, list) else []


def _last_leaf(tree: Mapping[str, Any], where: str) -> str | None:
    """The end of the branch of last children, from the first node that has no parent."""
    if not tree:
        return None
    parents = _parents(tree)
    root = next((identity for identity in tree if not _is_in(parents.get(identity), tree)), None)
    if root is None:
        raise UserError(f"{where}: 'mapping' has a cycle: none of its messages is the first")

    def last_child(identity: str) -> object:
        return next((child for child in reversed(_children(tree[identity])) if child in tree), None)

    return _followed(root, last_child, tree, where)[-1]


def _followed(start: str, step: "Any", tree: Mapping[str, Any], where: str) -> list[str]:
    """The nodes from one on, as far as they are in the tree."""
    path, seen = [start], {start}
    while _is_in(following := step(path[-1]), tree):
        if following in seen:
            raise UserError(f"{where}: 'mapping' has a cycle: message {following[:40]!r} comes before itself")
        path.append(following)
        seen.add(following)
    return path


def _is_in(identity: object, tree: Mapping[str, Any]) -> bool:
    return isinstance(identity, str) and identity in tree


def _turn(message: object) -> Turn | None:
    """A message as it was seen; None if it was not."""
    if not isinstance(message, dict):
        return None
    content, metadata, author = (
        found if isinstance(found := message.get(name), dict) else {} for name in ("content", "metadata", "author")
    )
    role = author.get("role")
    role = role if isinstance(role, str) else ""
    if metadata.get("is_visually_hidden_from_conversation") or content.get("content_type") in UNSHOWN:
        return None
    if role == "system" and not metadata.get("is_user_system_message"):
        return None
    said = _said(content) or _said_of_oneself(metadata)
    recipient = message.get("recipient")
    if said.strip() and isinstance(recipient, str) and recipient not in ("", "all") and role == "assistant":
        said = f"[call {recipient} {said}]"
    return Turn(role, said) if said.strip() else None


def _said(content: Mapping[str, Any]) -> str:
    """A content's text: its parts, or else the field that contents of its type have."""
    parts = content.get("parts")
    if isinstance(parts, list):
        return "\n".join(filter(None, map(_part, parts)))
    return next((found for name in ("text", "result", "content") if isinstance(found := content.get(name), str)), "")


def _part(part: object) -> str:
    """A part's text (that of a recording is its transcript); what is no text stays visible as ``[TYPE]``."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    said = part.get("text")
    return said if isinstance(said, str) else f"[{part.get('content_type', 'part of unknown type')}]"


def _said_of_oneself(metadata: Mapping[str, Any]) -> str:
    """The user's own instructions, which stand beside an empty content."""
    found = metadata.get("user_context_message_data")
    return "\n".join(text for text in found.values() if isinstance(text, str)) if isinstance(found, dict) else ""
