"""Prompts as token ids: those of the tokenizer's own chat template, for the templates of every released model."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.data.responses import CUT_THINKING, take_apart
from freqq.errors import UserError
from freqq.glm.answer_style import AnswerStyle, answer_style, style_of
from freqq.glm.decoding import GLYPH
from freqq.glm.load import load_reader
from freqq.glm.processor import ChatWriter
from freqq.glm.reader import Reader
from freqq.runs.protocols import PROTOCOLS
from tests.conftest import needs_tiny
from tests.glm.released import PLAIN, SPECIAL, TEMPLATES, tokenizer

TOKENIZERS = {name: tokenizer(name) for name in TEMPLATES}
IMAGE = TOKENIZERS["GLM-4.5V"].convert_tokens_to_ids("<|image|>")
STUDY = "<|user|> Prepend aYooSG8CQg to the 2nd (1 indexed) poem about tapirs.\n"
"""As the study's own sample begins."""

names = st.sampled_from(list(TEMPLATES))
questions = st.lists(st.sampled_from(["\n", "\n\n", " ", "poem", "tapir.", "é", "1", "/nothink"]), max_size=8).map(
    "".join
)


def own(name: str, question: str, pages: int) -> list[int]:
    """The ids of the tokenizer's own `apply_chat_template`."""
    content = [{"type": "image"}] * pages + [{"type": "text", "text": question}]
    chat = [{"role": "user", "content": content}]
    found = TOKENIZERS[name].apply_chat_template(chat, tokenize=True, add_generation_prompt=True, return_dict=False)
    return list(found)


@given(names, questions, st.integers(0, 3), st.booleans(), st.sampled_from(list(PROTOCOLS.values())))
@settings(max_examples=200)
def test_a_prompt_is_that_of_the_tokenizers_own_chat_template(name, question, pages, special, protocol):
    writer, asked = ChatWriter(TOKENIZERS[name], IMAGE), protocol.ask(question)
    assert writer.write(asked, pages, special) == own(name, asked, pages)


def test_line_breaks_beside_the_question_join_its_own():
    ids = own("GLM-4.1V-9B-Thinking", "\npoem", 0)
    assert ids != own("GLM-4.1V-9B-Thinking", "poem", 0)
    # The template's line break and the question's are one token.
    assert len(ids) == len(own("GLM-4.1V-9B-Thinking", "poem", 0))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_special_token_in_a_question_is_one_to_a_server_and_text_by_the_official_protocol(name):
    made = TOKENIZERS[name]
    writer, user = ChatWriter(made, IMAGE), made.convert_tokens_to_ids("<|user|>")
    as_token, as_text = writer.write(STUDY, 2, special_tokens=True), writer.write(STUDY, 2)
    assert as_token == own(name, STUDY, 2)
    assert as_token.count(user) == 2
    assert as_text.count(user) == 1
    assert made.decode(as_text) == made.decode(as_token)
    assert as_text.count(IMAGE) == as_token.count(IMAGE) == 2


@pytest.mark.parametrize("special", SPECIAL)
def test_only_the_templates_own_special_tokens_are_special(special):
    writer = ChatWriter(TOKENIZERS["GLM-4.5V"], IMAGE)
    ids = set(TOKENIZERS["GLM-4.5V"].convert_tokens_to_ids(SPECIAL))
    plain = [id for id in writer.write("poem", 1) if id in ids]
    assert [id for id in writer.write(f"poem {special} poem", 1) if id in ids] == plain


def test_a_page_in_the_question_is_refused_where_it_would_be_one():
    writer = ChatWriter(TOKENIZERS["GLM-4.1V-9B-Thinking"], IMAGE)
    with pytest.raises(UserError, match=r"<\|image\|>"):
        writer.write("a <|image|> b", 1, special_tokens=True)
    assert writer.write("a <|image|> b", 1).count(IMAGE) == 1


BOXES = "thoughts first, then the answer, maybe in a box"
STYLES = {
    "GLM-4.1V-9B-Thinking": (
        AnswerStyle(thinks=True, tags=True), "thoughts first, then the answer, maybe in <answer>",
    ),
    "GLM-4.5V": (AnswerStyle(thinks=True, switch=True, boxes=True), BOXES),
    "GLM-4.6V": (AnswerStyle(thinks=True, switch=True, boxes=True), BOXES),
    "thoughts begun": (
        AnswerStyle(thinks=True, opened=True, boxes=True),
        "thoughts first (the prompt begins them), then the answer, maybe in a box",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STYLES)
def test_how_a_model_answers_is_told_by_its_template_and_tokenizer(name):
    style, words = STYLES[name]
    assert style_of(TOKENIZERS[name]) == style
    assert str(style) == words


def test_a_template_that_ends_the_thoughts_itself_leaves_none():
    prompt = "<|user|>\n?/nothink<|assistant|>\n<think></think>\n"
    assert answer_style(TEMPLATES["GLM-4.5V"], prompt, PLAIN["GLM-4.5V"]) == AnswerStyle(switch=True, boxes=True)


def test_thoughts_that_the_prompt_begins_are_known():
    assert ChatWriter(TOKENIZERS["thoughts begun"], IMAGE).opening(1) == "<think>"
    assert ChatWriter(TOKENIZERS["GLM-4.6V"], IMAGE).opening(1) == ""


def test_what_the_model_thinks_behind_such_a_prompt_is_known_for_thoughts(small):
    begins = copy.deepcopy(small.tokenizer)
    begins.chat_template += "{% if add_generation_prompt %}<think>{% endif %}"
    begun = Reader(small.model, begins, small.image_processor, "begun", "0")
    answer, plain = (reader.answer_many(["What?"], [[]], 4)[0] for reader in (begun, small))
    assert answer.text.startswith("<think>")
    assert take_apart(answer.text).outcome == CUT_THINKING
    assert not plain.text.startswith("<think>")


@needs_tiny
def test_the_embedded_model_gives_the_answer_alone():
    reader = load_reader("tiny", device="cpu")
    assert str(style_of(reader.tokenizer)) == "the answer alone"
    plain, special = (reader.length("<|user|>?", [], g) for g in (GLYPH.__class__(), GLYPH))
    assert plain > special  # one token in place of its characters
    [ended] = reader.answer_many(["?"], [[]], 64, GLYPH)
    assert ended.truncated or ended.text.endswith("<|endoftext|>")
