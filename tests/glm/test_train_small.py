"""The training of `small`: what it shows is what it says, and its fast forward pass is transformers' own."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.glm4v.modeling_glm4v import Glm4vVisionModel

from freqq.data.mini import FORMATS, HELD_OUT_PAIRS, ORDINALS, TOPICS, Exchange
from freqq.data.mini_glyph import HEIGHTS, WIDTHS, mini_glyph
from freqq.glm.train.architecture import END, IMAGE_MEAN, IMAGE_STD, build_tokenizer
from freqq.glm.train.corpus import question_tokens
from freqq.glm.train.forward import mixed_precision
from freqq.glm.train.small.aids import (
    AROUND,
    COUNT,
    FIRST,
    QuestionHeads,
    first_characters,
    own_and_around,
    reading_order,
)
from freqq.glm.train.small.aloud import FARTHEST, GIVEN, MIDDLE, START, Aloud, Recipe, pages, with_wrong
from freqq.glm.train.small.chats import chat, haystack
from freqq.glm.train.small.model import ENTRIES, REQUESTS, SlotHeads, build
from freqq.glm.train.small.page_text import page_text
from freqq.glm.train.small.question_batch import LONGEST_WHOLE, Size, question_batch
from freqq.glm.train.small.questions import Questions
from freqq.glm.train.small.questions import Recipe as QuestionRecipe
from freqq.glm.train.small.reading import CLASSES, ReadingHead, accuracy, places, reading_loss
from freqq.glm.train.small.sheets import COLUMNS, DPIS, ROWS, SLOTS, sheet
from freqq.glm.train.small.text import CHARACTERS, KINDS, split_of, text
from freqq.glm.train.small.tower import Tower, start, vision_config

SEEDS = st.integers(0, 2**32)


def tower(width: int = 128, depth: int = 2, out: int = 128) -> Tower:
    visual = Glm4vVisionModel(vision_config(width, depth, out))
    start(visual, torch.Generator().manual_seed(0))
    return Tower(visual)


@given(SEEDS)
def test_no_word_of_one_split_is_shown_in_the_other(seed):
    for split in ("train", "test"):
        for kind in ("sentences", "words", "invented"):
            shown = text(random.Random(seed), 80, split, (kind,)).split()
            assert all(
                split_of(word.strip("\"'()[]*<>").removesuffix("'s")) == split for word in shown if word.isalpha()
            )


@given(SEEDS, st.sampled_from(KINDS))
def test_a_seed_gives_one_text_of_characters_that_can_be_read(seed, kind):
    made = text(random.Random(seed), 60, "train", (kind,))
    assert made == text(random.Random(seed), 60, "train", (kind,))
    assert len(made) >= 60
    assert set(made) <= {*CHARACTERS, "\n"}


@pytest.mark.parametrize("dpi", DPIS)
def test_every_character_has_a_slot_of_its_own_where_its_ink_is(dpi):
    made = sheet(random.Random(dpi), dpi, 4, 10, 3, "train", ("words",))
    w = made.written
    slots = (w.crop * 1000 + w.row) * 10_000 + w.column
    assert len(np.unique(slots)) == len(slots)
    visible = np.array([CHARACTERS[i] not in " .,'`\"-_^~:;" for i in w.character]) & w.whole
    high, wide = 28 // 3, 2
    for crop, row, column in zip(w.crop[visible], w.row[visible], w.column[visible], strict=True):
        top, left = row * high, column * wide
        assert made.pixels[crop, max(0, top - 4) : top + 14, max(0, left - 6) : left + 8].min() < 128


def test_the_forward_pass_is_that_of_transformers():
    own = tower()
    with torch.no_grad():
        own.visual.embeddings.position_embedding.weight.normal_(0, 0.2)
    pixels = torch.randint(0, 256, (2, 112, 140), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
    image = (pixels[:, None].float() / 255 - mean) / std
    patches = image.view(2, 3, 4, 2, 14, 5, 2, 14).permute(0, 2, 5, 3, 6, 1, 4, 7)
    patches = patches[:, :, :, :, :, :, None].expand(-1, -1, -1, -1, -1, -1, 2, -1, -1).reshape(160, -1)
    with torch.no_grad():
        wanted = own.visual(patches, torch.tensor([[1, 8, 10]] * 2)).pooler_output.view(2, 20, -1)
        with mixed_precision():
            found = own(pixels).float()
    assert (found - wanted).square().mean() < 0.01 * wanted.square().mean()


def test_a_head_that_is_right_loses_nothing_and_reads_all():
    made = sheet(random.Random(3), 96.0, 4, 10, 2, "train")
    own, _ = places(made.written, 4, 10)
    logits = torch.full((2 * 40 * SLOTS, CLASSES), -30.0)
    for place, character in zip(own, made.written.character, strict=True):
        logits[place, 0], logits[place, 1 + character] = 30.0, 30.0
    assert reading_loss(logits, made.written, 4, 10) < 1e-6
    assert accuracy(logits, made) == {96.0: 1.0}
    assert reading_loss(-logits, made.written, 4, 10) > 10


@pytest.mark.parametrize("dpi", [72.0, 144.0])
def test_what_is_to_be_read_aloud_is_the_page_line_by_line(dpi):
    made = pages(random.Random(5), dpi, 4, 10, 3, "train")
    written = made.crops.written
    assert written.whole.all()
    for i in range(3):
        said = [label for label in made.labels[i].tolist() if label >= 0]
        own = np.flatnonzero(written.crop == i)
        lines = [
            "".join(CHARACTERS[c] for c in written.character[own[written.row[own] == row]])
            for row in np.unique(written.row[own])
        ]
        assert "".join(ENTRIES[token] for token in said) == " ".join(lines) + ENTRIES[END]
        first = len(START)
        assert made.tokens[i, first : first + len(said) - 1].tolist() == said[:-1]
    assert (made.cell < 40).all()


@given(SEEDS, st.sampled_from([72.0, 120.0]))
def test_a_text_from_anywhere_is_the_rest_of_a_page_behind_what_is_given(seed, dpi):
    whole = pages(random.Random(seed), dpi, 3, 8, 2, "train")
    cut = pages(random.Random(seed), dpi, 3, 8, 2, "train", middle=True)
    assert (whole.crops.pixels == cut.crops.pixels).all()
    for i in range(2):
        said = [label for label in whole.labels[i].tolist() if label >= 0]
        asked = [label for label in cut.labels[i].tolist() if label >= 0]
        given_characters = cut.tokens[i, len(MIDDLE) : len(MIDDLE) + GIVEN].tolist()
        rest = given_characters + asked if len(asked) > 1 else asked
        assert said[-len(rest) :] == rest
        assert len(said) - len(rest) <= FARTHEST * len(said)
        first = int((cut.labels[i] >= 0).nonzero()[0])
        assert first == len(MIDDLE) + GIVEN - 1 or len(asked) == 1, "what is given is the whole rest"
        assert cut.labels[i, first : first + len(asked)].tolist() == asked


@given(SEEDS, st.sampled_from([0.0, 0.3]))
def test_some_of_what_was_said_is_wrong_and_nothing_that_was_given(seed, share):
    made = pages(random.Random(seed), 120.0, 3, 8, 2, "train", middle=True)
    found = with_wrong(made.tokens, made.labels, share, str(seed))
    assert torch.equal(found, with_wrong(made.tokens, made.labels, share, str(seed)))
    said = torch.zeros_like(made.tokens, dtype=torch.bool)
    said[:, 1:] = made.labels[:, :-1] >= 0
    changed = found != made.tokens
    assert not (changed & ~said).any()
    assert bool(changed.any()) == (share > 0)
    assert changed.sum() < 0.7 * said.sum()


SIZE = Size(96.0, 2, 6, 12, 50)


@given(SEEDS, st.integers(0, 8000))
def test_questions_end_with_pages_of_the_sizes_of_evaluation(seed, step):
    recipe = QuestionRecipe()
    size = recipe.draw(random.Random(seed), step)
    cell = 28 * 72 / size.dpi
    assert size.columns * cell <= WIDTHS[1] + cell
    assert size.rows * cell <= HEIGHTS[1] + cell
    assert size.room >= 200
    late = [recipe.draw(random.Random(f"{seed}/{i}"), recipe.grow) for i in range(200)]
    assert max(one.pages for one in late) == 5
    assert max(one.columns * 28 * 72 / one.dpi for one in late) > WIDTHS[1] - 10


@given(SEEDS, st.sampled_from([72.0, 96.0, 144.0]))
def test_every_character_of_a_chat_has_its_place_on_a_page(seed, dpi):
    rng = random.Random(seed)
    source = chat(rng, 300, 50)
    page = page_text(rng, source.text, dpi, 3, 8, 14)
    if page is None:
        return
    shown = [i for i in range(len(source.text)) if page.cell[i] >= 0]
    left = "".join(source.text[i] for i in range(len(source.text)) if page.cell[i] < 0)
    assert set(left) <= {" ", "\n"}
    places = [(page.cell[i], page.slot[i]) for i in shown]
    assert len(set(places)) == len(places)
    for i in shown:
        if source.text[i] in " .,'`;:":
            continue
        number, cell = divmod(int(page.cell[i]), 8 * 14)
        row, column = divmod(cell, 14)
        top, left_edge = row * 28 + page.slot[i] // 14 * 28 // 3, column * 28 + page.slot[i] % 14 * 2
        assert page.pixels[number, max(0, top - 4) : top + 14, max(0, left_edge - 6) : left_edge + 8].min() < 160


@given(SEEDS)
def test_what_is_asked_for_stands_where_it_is_said_to(seed):
    made = question_batch(random.Random(seed), SIZE, 2, 3, 0.5, 0.5)
    for s in range(2):
        for k in range(3):
            labels = made.labels[s, k]
            said = "".join(ENTRIES[t] for t in labels[labels >= 0].tolist())
            shown = made.cell[s, k] >= 0
            wanted = int(made.wanted[s, k])
            if wanted < 0:
                assert said.removesuffix(ENTRIES[END]).strip().isdigit()
                continue
            question = "".join(ENTRIES[t] for t in made.tokens[s, k][: int((labels >= 0).nonzero()[0]) + 1].tolist())
            kind, topic, ordinal = made.facts[s, wanted].tolist()
            assert f"{FORMATS[kind]} about {TOPICS[topic]}. " in question
            form, about, number = made.parts[s, k].tolist()
            tokens = made.tokens[s, k]
            spelled = "".join(ENTRIES[t] for t in tokens[: form + 1].tolist())
            assert spelled.endswith(f" {FORMATS[kind]}")
            assert "".join(ENTRIES[t] for t in tokens[form + 1 : about + 1].tolist()) == f" about {TOPICS[topic]}"
            assert ORDINALS[ordinal] in ENTRIES[int(tokens[number])]
            assert f" {ORDINALS[ordinal]} (1 indexed) " in question
            assert question[len("Prepend ") :][:6] == said[:6]
            assert len(said) <= 6 + LONGEST_WHOLE + len(ENTRIES[END])
            marks = (made.formats, made.topics, made.answers)
            formats, topics, answers = (found[s, wanted].nonzero()[:, 0] for found in marks)
            assert len(formats)
            cells = made.cell[s, k][shown]
            assert set(cells[cells > topics.max()].tolist()) <= set(answers.tolist())
            assert (answers > topics.max()).all()
            same = (made.facts[s, : wanted + 1, :2] == made.facts[s, wanted, :2]).all(-1).sum()
            assert same == ordinal + 1
    first = first_characters(made)
    assert (first.sum(-1) == (made.cell >= 0).sum(-1).clamp(max=FIRST)).all()


@given(SEEDS)
def test_tokens_that_show_a_format_or_a_topic_are_those_where_it_is_written(seed):
    made = question_batch(random.Random(seed), SIZE, 2, 0, 0.0, 0.0)
    w = made.written
    cell = (w.crop * made.rows + w.row // ROWS) * made.columns + w.column // COLUMNS
    of_sample = made.pages * made.rows * made.columns
    for column, (names, marks) in enumerate(((FORMATS, made.formats), (TOPICS, made.topics))):
        for s, e in (made.facts[..., 0] >= 0).nonzero().tolist():
            there = np.isin(cell, marks[s, e].nonzero()[:, 0].numpy() + s * of_sample)
            lines = [
                "".join(CHARACTERS[c] for c in w.character[there & (w.lines() == n)]) for n in set(w.lines()[there])
            ]
            assert any(names[made.facts[s, e, column]] in line for line in lines)


@given(SEEDS)
def test_a_text_that_goes_on_over_pages_is_read_from_the_start_or_from_anywhere(seed):
    made = question_batch(random.Random(seed), SIZE, 2, 4, 0.5, 0.5, 1.0)
    assert (made.wanted == -1).all()
    for tokens, labels, cell in zip(*(x.flatten(0, 1) for x in (made.tokens, made.labels, made.cell)), strict=True):
        said = labels >= 0
        first, last = int(said.nonzero()[0]), int(said.nonzero()[-1])
        assert (first == len(START) - 1) == (int(tokens[0]) == START[0])
        assert torch.equal(tokens[first + 1 : last + 1], labels[first:last])
        shown = cell[cell >= 0]
        pages = shown // (made.rows * made.columns)
        assert (pages.diff() >= 0).all(), "page after page"


def test_a_step_of_questions_has_a_gradient_everywhere_but_in_the_aids_of_reading_aloud():
    head = ReadingHead(512, torch.Generator().manual_seed(0))
    net = build(tower(256, 4, 512).visual.state_dict(), head, torch.eye(512), 0)
    questions = Questions(Aloud(net, head, SlotHeads()), QuestionHeads())
    recipe = QuestionRecipe(tokens=300, ruler=0.5)
    loss, values = questions.step(recipe, 0, 10, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {
        "answer",
        "first",
        "read",
        "format",
        "topic",
        "pair",
        "turn",
        "question",
        "count",
        "select",
        "copy",
        "follow",
        "wrap",
        "own",
        "around",
        "edges",
        "link",
        "bring",
        "ask",
        "token",
        "right",
    } <= set(values)
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    assert [n for n, p in questions.heads.named_parameters() if p.grad is None] == []
    aloud, said = questions.step(recipe, recipe.aloud - 1, 10, 0)
    assert "aloud_write" in said
    assert torch.isfinite(aloud)
    net.zero_grad()
    shown, seen = questions.show(replace(recipe, shown=300), 0, 10, 0)
    shown.backward()
    assert {
        f"shown_{name}"
        for name in ("read", "format", "topic", "pair", "turn", "count", "bring", "own", "around", "edges", "link")
    } == set(seen)
    last = f"layers.{COUNT}."
    assert [n for n, p in net.named_parameters() if last in n and p.grad is None] == []
    assert all(p.grad is None for n, p in net.named_parameters() if f"layers.{COUNT + 1}." in n), "no more layers run"
    _, beside = questions.show(replace(recipe, more=0), recipe.aloud - 1, 10, 0)
    assert "select" in beside, "more questions beside reading aloud"
    _, asked_instead = questions.show(recipe, 98, 100, 0)
    assert "answer" in asked_instead
    assert "count" not in asked_instead
    _, late = questions.step(recipe, 98, 100, 0)
    assert "answer" in late
    assert "count" not in late, "the aids have faded"


def test_the_tokenizer_of_small_gives_its_questions_as_in_training():
    tokenizer = build_tokenizer(REQUESTS)
    (sample,) = mini_glyph(4, 1, 9)
    pair = next(p for p in HELD_OUT_PAIRS if f"{p[0]} about {p[1]}." in sample.question)
    ordinal = 1 + [o in sample.question for o in ORDINALS].index(True)
    wanted = question_tokens(sample.prefix, Exchange(pair, ordinal, ""))
    assert tokenizer(sample.question + "<|assistant|>")["input_ids"] == wanted
    source = haystack(random.Random(4), 600)
    text = "".join(ENTRIES[t] for t in source.questions[0].tokens)
    assert tokenizer(text)["input_ids"] == list(source.questions[0].tokens)


def test_whitening_changes_what_tokens_are_and_not_what_the_head_reads():
    whole = tower(256, 4, 512)
    head = ReadingHead(512, torch.Generator().manual_seed(0))
    pixels = torch.from_numpy(sheet(random.Random(1), 120.0, 3, 8, 4, "train").pixels)

    def seen(by: Tower) -> torch.Tensor:
        with mixed_precision():
            return by(pixels).float()

    with torch.no_grad():
        tokens = seen(whole)
        before, flat = head(tokens), tokens.flatten(0, 1)
        noise = torch.randn(2000, 512, generator=torch.Generator().manual_seed(2)) * flat.std()
        net = build(whole.visual.state_dict(), head, noise.T @ noise / 2000 + flat.T @ flat / len(flat), 0)
        net.model.visual.embeddings.position_embedding.weight.zero_()
        after = head(seen(Tower(net.model.visual)))
    assert (after - before).square().mean() < 0.01 * before.square().mean()


def test_a_step_of_reading_aloud_has_a_gradient_everywhere():
    head = ReadingHead(512, torch.Generator().manual_seed(0))
    net = build(tower(256, 4, 512).visual.state_dict(), head, torch.eye(512), 0)
    aloud = Aloud(net, head, SlotHeads())
    loss, values = aloud.step(Recipe(characters=100), 0, 10, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {"write", "read", "here", "there", "slot", "next_slot", "token"} <= set(values)
    without = [n for n, p in net.named_parameters() if p.grad is None]
    assert without == []


@given(SEEDS)
@settings(max_examples=20)
def test_tokens_are_asked_for_their_text_and_what_stands_beside_it(seed):
    made = question_batch(random.Random(seed), SIZE, 2, 0, 0.0, 0.5)
    own, beside = own_and_around(reading_order(made), 2 * made.pages * made.rows * made.columns)
    per_sample = made.pages * made.rows * made.columns
    written = made.written
    for sample in range(2):
        here = np.flatnonzero(written.crop // made.pages == sample)
        here = here[np.lexsort((written.column[here], written.row[here], written.crop[here]))]
        row = written.row[here]
        cell = (written.crop[here] * made.rows + row // ROWS) * made.columns + written.column[here] // COLUMNS
        characters = written.character[here]
        places = list(zip(cell.tolist(), (row % ROWS).tolist(), strict=True))
        for place in set(places):
            shown = [i for i, other in enumerate(places) if other == place]
            assert shown == list(range(shown[0], shown[-1] + 1))
            text = [int(characters[i]) for i in shown][:AROUND]
            assert own[place[0], 1, place[1], : len(text)].tolist() == text
            assert (own[place[0], :, place[1], len(shown) :] == -100).all()
            assert int(own[place[0], 0, place[1], 0]) == int(characters[shown[-1]])
            for side, (edge, sign) in enumerate(((shown[0], -1), (shown[-1], 1))):
                for k in range(AROUND):
                    at = edge + sign * (k + 1)
                    reached = 0 <= at < len(places) and cell[at] <= place[0]
                    assert int(beside[place[0], side, place[1], k]) == (int(characters[at]) if reached else -100)
        empty = set(range(sample * per_sample, (sample + 1) * per_sample)) - {c for c, _ in places}
        assert (own[list(empty)] == -100).all()
        assert (beside[list(empty)] == -100).all()
