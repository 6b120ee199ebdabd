"""ChatGPT's export: the branch that was current, as its user saw it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.chatgpt import branch_turns
from freqq.data.load import load
from freqq.data.sample import Turn
from freqq.errors import UserError
from tests.data.conftest import FILES


def node(parent, text=None, role="user", children=(), **message):
    said = {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, **message}
    return {"parent": parent, "children": list(children), "message": None if text is None else said}


def chat(current, **nodes):
    return {"title": "t", "mapping": nodes, "current_node": current}


def texts(value):
    return [turn.text for turn in branch_turns(value, "here")]


def test_an_export_is_read_as_its_user_saw_it():
    data = load(FILES / "conversations.json")
    first, second, third = data.samples()
    assert data.format == "chatgpt"
    assert [s.id for s in (first, second, third)] == ["conversations-0", "conversations-1", "conversations-3"]
    assert first.turns == (
        Turn("user", "Where do tapirs sleep?"),
        Turn("assistant", "In thickets near water."),
        Turn("user", "And when it is hot?"),
        Turn("assistant", "Then they rest in the water."),
    )
    assert second.turns == (
        Turn("user", "[image_asset_pointer]\nPlot these numbers."),
        Turn("assistant", "[call python plt.plot([1, 2])]"),
        Turn("tool", "<Figure size 640x480>"),
        Turn("assistant", "Here it is."),
        Turn("user", "Thank you!"),
    )
    assert third.turns[0] == Turn("system", "I am a zoologist.\nAnswer in one line.")


def test_every_branch_can_be_the_current_one():
    export = json.loads((FILES / "conversations.json").read_text())[0]
    branches = {leaf: texts(export | {"current_node": leaf}) for leaf in ("a1", "a3", "u3")}
    assert branches["a1"] == ["Where do tapirs sleep?", "In trees."]
    assert branches["a3"][:2] == branches["u3"][:2] == ["Where do tapirs sleep?", "In thickets near water."]
    assert (branches["a3"][2], branches["u3"][2]) == ("And when it is hot?", "And at noon?")


def test_without_a_current_node_it_is_the_branch_of_the_last_children():
    export = json.loads((FILES / "conversations.json").read_text())[0]
    last = texts(export | {"current_node": None})
    assert last == texts({"mapping": export["mapping"]}) == texts(export | {"current_node": "u3"})


def test_children_stand_in_for_parents_that_are_not_said():
    nodes = {"r": {"children": ["a"]}, "a": node(None, "hi", children=["b"]), "b": node(None, "yes", "assistant")}
    for value in (nodes["a"], nodes["b"]):
        del value["parent"]
    assert texts(chat("b", **nodes)) == ["hi", "yes"]
    assert texts(chat("b", r=nodes["r"], a=node("gone", "hi"), b=node("a", "yes"))) == ["hi", "yes"]


def test_one_file_of_one_chat_and_lines_of_chats(tmp_path):
    one = chat("b", a=node(None, "hi"), b=node("a", "yes", "assistant"))
    for text, count in ((json.dumps(one, indent=1), 1), ((json.dumps(one) + "\n") * 3, 3)):
        (tmp_path / "chats.json").write_text(text)
        assert [[t.role for t in s.turns] for s in load(tmp_path / "chats.json").samples()] == (
            [["user", "assistant"]] * count
        )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (chat("b", a=node("b", "hi"), b=node("a", "yes")), "'mapping' has a cycle: message 'b' comes before itself"),
        (chat("a", a=node("a", "hi")), "'mapping' has a cycle"),
        (chat(None, a=node("b", "hi", children=["b"]), b=node("a", "yes", children=["a"])), "none of its messages is"),
        (chat("c", a=node(None, "hi")), "'current_node' .'c'. is not in 'mapping'"),
        (chat(3, a=node(None, "hi")), "'current_node' .'3'. is not in 'mapping'"),
        (chat("a", a=3), "node 'a' of 'mapping' has to be an object, not a number"),
        ({"mapping": [], "title": ""}, "needs the object 'mapping'; it has 'mapping', 'title'"),
        ([], "needs the object 'mapping'; it is a list"),
    ],
)
def test_a_tree_that_is_none_is_one_line(value, message, tmp_path):
    (tmp_path / "export.json").write_text(json.dumps([chat("a", a=node(None, "hi")), value]))
    with pytest.raises(UserError, match=rf"export.json, line 1: .*{message}") as found:
        load(tmp_path / "export.json")
    assert "\n" not in str(found.value)


def test_an_export_in_which_nothing_was_said(tmp_path):
    (tmp_path / "export.json").write_text(json.dumps([chat("a", a=node(None, ""))]))
    with pytest.raises(UserError, match="has no chat with a message"):
        load(tmp_path / "export.json")


def test_the_folder_of_an_export_holds_its_chats(tmp_path):
    (tmp_path / "conversations.json").write_text((FILES / "conversations.json").read_text())
    for name in ("user.json", "message_feedback.json", "shared_conversations.json"):
        (tmp_path / name).write_text('[{"id": "user-1"}]')
    assert len(list(load(tmp_path).samples())) == 3


def test_a_branch_of_ten_thousand_messages_is_read():
    nodes = {str(i): node(str(i - 1), str(i)) for i in range(10_000)}
    assert texts(chat("9999", **nodes)) == [str(i) for i in range(10_000)]


IDS = st.sampled_from("abcdef")
JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(IDS, max_size=2)
CONTENTS = st.fixed_dictionaries(
    {"content_type": st.sampled_from(["text", "code", "thoughts", "multimodal_text"]) | JUNK},
    optional={"parts": JUNK | st.lists(st.text(max_size=3) | st.dictionaries(st.text(), JUNK)), "text": JUNK},
)
MESSAGES = JUNK | st.fixed_dictionaries(
    {"author": st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "tool"]) | JUNK})},
    optional={"content": CONTENTS | JUNK, "metadata": st.dictionaries(st.text(), JUNK) | JUNK, "recipient": JUNK},
)
NODES = st.fixed_dictionaries({}, optional={"parent": IDS | JUNK, "children": JUNK, "message": MESSAGES})
TREES = st.fixed_dictionaries({"mapping": st.dictionaries(IDS, NODES)}, optional={"current_node": IDS | JUNK})


@given(TREES)
def test_any_tree_gives_a_branch_or_one_line(tree):
    """Cycles, missing parents, children of two, values of any type: it ends, and never otherwise than so."""
    try:
        turns = branch_turns(tree, "here")
    except UserError as error:
        turns, said = (), str(error)
    else:
        said = ""
    assert "\n" not in said
    assert len(turns) <= len(tree["mapping"])
    assert all(isinstance(turn.text, str) and turn.text.strip() for turn in turns)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.data())
def test_of_any_tree_it_is_the_way_from_the_root(choices, data):
    parents = [None] + [choice % (i + 1) for i, choice in enumerate(choices)]
    nodes = {f"n{i}": node(None if p is None else f"n{p}", f"text {i}") for i, p in enumerate(parents)}
    leaf = data.draw(st.integers(0, len(parents) - 1))
    way = [leaf]
    while parents[way[-1]] is not None:
        way.append(parents[way[-1]])
    shuffled = dict(data.draw(st.permutations(list(nodes.items()))))
    assert texts(chat(f"n{leaf}", **shuffled)) == [f"text {i}" for i in reversed(way)]
