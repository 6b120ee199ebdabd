"""ChatGPT's export, ``conversations.json``: each chat is a tree of messages; its current branch is read.

As in the export's own page ``chat.html``, the branch leads from ``current_node`` up through ``parent``, without system
messages other than the user's own. Code, its output and quotes of web pages, which that page omits, are shown as in
OpenAI messages.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from freqq.data.fields import bounded, kind, listed
from freqq.data.json_values import json_values
from freqq.data.sample import Sample, Turn
from freqq.errors import UserError

UNSHOWN = ("thoughts", "reasoning_recap", "user_editable_context", "model_editable_context")
"""Content types that the user never saw: reasoning, memories, settings."""


def is_export(value: object) -> bool:
    """Whether a file's first JSON value is a chat of ChatGPT's export."""
    return isinstance(value, dict) and isinstance(value.get("mapping"), dict)


def chatgpt_samples(path: Path, name: str) -> Iterator[Sample]:
    """The chats of an export, with ids ``NAME-INDEX``; empty ones are skipped.

    Raises
    ------
    UserError
        With file and line, if a value is not such a chat, or its tree has a cycle.
    """
    for index, item in enumerate(json_values(path)):
        chat = branch_turns(item.value, f"{path}, line {item.line}")
        if chat:
            yield Sample(f"{name}-{index}", turns=chat)


def branch_turns(chat: object, where: str) -> tuple[Turn, ...]:
    """The visible messages of the current branch, in order.

    Without ``current_node`` the branch follows the last child of each message. A parent that is not in the tree ends
    the branch, as is common for a chat's first message.

    Raises
    ------
    UserError
        If it is not a chat, ``current_node`` names none of its messages, or the branch has a cycle.
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
    path = _walk(leaf, parents.get, tree, where) if leaf is not None else []
    turns = ((identity, _turn(tree[identity].get("message"))) for identity in reversed(path))
    return tuple(
        Turn(turn.role, bounded(turn.text, f"{where}, message {identity[:40]!r}")) for identity, turn in turns if turn
    )


def _parents(tree: Mapping[str, Any]) -> dict[str, str]:
    """Each node's ``parent`` or, if it has none, the node that lists it among its children."""
    found = {child: identity for identity in tree for child in _children(tree[identity])}
    return found | {identity: node["parent"] for identity, node in tree.items() if "parent" in node}


def _children(node: Mapping[str, Any]) -> list[str]:
    children = node.get("children")
    return [child for child in children if isinstance(child, str)] if isinstance(children, list) else []


def _last_leaf(tree: Mapping[str, Any], where: str) -> str | None:
    """The end of the branch of last children, starting at the first node without a parent."""
    if not tree:
        return None
    parents = _parents(tree)
    root = next((identity for identity in tree if not _is_in(parents.get(identity), tree)), None)
    if root is None:
        raise UserError(f"{where}: 'mapping' has a cycle: none of its messages is the first")

    def last_child(identity: str) -> object:
        return next((child for child in reversed(_children(tree[identity])) if child in tree), None)

    return _walk(root, last_child, tree, where)[-1]


def _walk(start: str, step: Callable[[str], object], tree: Mapping[str, Any], where: str) -> list[str]:
    """The nodes reached by repeated steps, until one is not in the tree."""
    path, seen = [start], {start}
    while _is_in(following := step(path[-1]), tree):
        if following in seen:
            raise UserError(f"{where}: 'mapping' has a cycle: message {following[:40]!r} comes before itself")
        path.append(following)
        seen.add(following)
    return path


def _is_in(identity: object, tree: Mapping[str, Any]) -> TypeGuard[str]:
    return isinstance(identity, str) and identity in tree


def _turn(message: object) -> Turn | None:
    """A message as the user saw it; None if it was hidden or empty."""
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
    text = _text(content) or _user_instructions(metadata)
    recipient = message.get("recipient")
    if text.strip() and isinstance(recipient, str) and recipient not in ("", "all") and role == "assistant":
        text = f"[call {recipient} {text}]"
    return Turn(role, text) if text.strip() else None


def _text(content: Mapping[str, Any]) -> str:
    """The text of a content: its parts, or the field that its type uses."""
    parts = content.get("parts")
    if isinstance(parts, list):
        return "\n".join(filter(None, map(_part, parts)))
    return next((found for name in ("text", "result", "content") if isinstance(found := content.get(name), str)), "")


def _part(part: object) -> str:
    """A part's text, for a recording its transcript; anything else is shown as ``[TYPE]``."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('content_type', 'part of unknown type')}]"


def _user_instructions(metadata: Mapping[str, Any]) -> str:
    """The user's custom instructions, which the metadata hold while the content is empty."""
    found = metadata.get("user_context_message_data")
    return "\n".join(text for text in found.values() if isinstance(text, str)) if isinstance(found, dict) else ""
