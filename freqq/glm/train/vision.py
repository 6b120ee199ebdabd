"""Stage 1: the vision tower learns to read. Probes predict each merged token's characters and request."""

import random
import string

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqq.data.mini import FORMATS, TOPICS
from freqq.glm.train.architecture import CELL, CHARACTERS, IMAGE_MEAN, IMAGE_STD, PATCH
from freqq.glm.train.corpus import SLOTS, SPACE, Batch, Shape, build_batch, random_style
from freqq.glm.train.forward import PackedForward, mixed_precision, to_patches
from freqq.pages.atlas import atlas
from freqq.pages.draw import draw
from freqq.pages.page import Line


class VisionHeads(nn.Module):
    """Linear probes on merged tokens, dropped after training: characters, format and topic of the exchange."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.characters = nn.Linear(width, SLOTS * len(CHARACTERS))
        self.facts = nn.Linear(width, len(FORMATS) + len(TOPICS))
        # Start from the characters' frequencies: most slots are blank, and learning that takes a plateau.
        counts = torch.full((len(CHARACTERS),), 3.0)
        for i in range(6):
            batch = build_batch(random.Random(f"prior/{i}"), Shape(1, 8, 8), 4, 1)
            counts += torch.bincount(batch.characters.flatten(), minlength=len(CHARACTERS))
        with torch.no_grad():
            self.characters.bias.copy_((counts / counts.sum()).log().repeat(SLOTS))


@torch.no_grad()
def template_patches(visual: nn.Module, font: str, size: float, seed: int = 0) -> None:
    """Initialize the patch embedding as glyph detectors: half of its channels for each half of a patch.

    Each glyph gets a random code, and ridge regression from glyph images to codes gives the filters. This avoids the
    long plateau in which a randomly initialized tower has not discovered characters yet.
    """
    glyphs = atlas(font, size, hinted=True)
    ink = np.zeros((len(CHARACTERS) - 1, PATCH, PATCH // 2), np.float32)
    for i, character in enumerate(CHARACTERS[:-1]):
        box, pad = glyphs.glyph(character, 0)
        ink[i] = box[:PATCH, pad : pad + PATCH // 2] / 255.0
    images = torch.from_numpy(ink).flatten(1)
    detectors = torch.linalg.solve(images @ images.T + 0.3 * torch.eye(len(images)), images)
    generator = torch.Generator().manual_seed(seed)
    weight = visual.patch_embed.proj.weight  # [channels, 3, 2, PATCH, PATCH]
    half = weight.shape[0] // 2
    filters = torch.zeros(2 * half, PATCH, PATCH)
    for side in range(2):
        codes = 4 * half**-0.5 * torch.randn(half, len(images), generator=generator)
        columns = slice(side * PATCH // 2, (side + 1) * PATCH // 2)
        filters[side * half : (side + 1) * half, :, columns] = -(codes @ detectors).view(half, PATCH, PATCH // 2)
    std, mean = torch.tensor(IMAGE_STD).view(3, 1, 1), torch.tensor(IMAGE_MEAN).view(3, 1, 1)
    weight.copy_((filters[:, None] * std / 6)[:, :, None].expand_as(weight))
    blank = -filters.sum((1, 2)) + 0.3 * torch.randn(2 * half, generator=generator)
    visual.patch_embed.proj.bias.copy_(blank + (weight.sum(2) * (mean / std)).sum((1, 2, 3)))


def scramble(rng: random.Random, batch: Batch) -> Batch:
    """Replace a batch's text by random characters, so that the tower reads glyphs rather than words."""
    shape = batch.shape
    letters, alphabet = string.ascii_lowercase, CHARACTERS[:-1]
    for b in range(len(batch.pixels)):
        style = random_style(rng, shape)
        batch.characters[b] = SPACE
        blank = rng.choice((0.1, 0.3, 0.6))
        for p in range(shape.pages):
            lines, top = [], style.margin_top
            while top + style.line_height <= style.height:
                room = (style.width - style.margin_left) // 7
                any_of = (rng.choice(letters if rng.random() < 0.7 else alphabet) for _ in range(room))
                text = "".join(" " if rng.random() < blank else character for character in any_of)
                lines.append(Line(style.margin_left, top, text))
                _write(batch.characters[b], shape, p, lines[-1])
                top += style.line_height + style.paragraph_gap
            batch.pixels[b, p] = torch.from_numpy(draw(tuple(lines), style).pixels)
    batch.exchange[:] = -1
    return batch


def _write(characters: Tensor, shape: Shape, page: int, line: Line) -> None:
    row = int((line.top + CELL // 2) // CELL)
    if row >= shape.rows:
        return
    for k, character in enumerate(line.text):
        centre = line.x + 7 * (k + 0.5)
        column = int(centre // CELL)
        cell = (page * shape.rows + row) * shape.columns + column
        characters[cell, int((centre - column * CELL) // 7)] = CHARACTERS.index(character)


def see(forward: PackedForward, batch: Batch, noise: float, generator: torch.Generator) -> Tensor:
    """Merged tokens [B, V, D] of a batch, with pixel noise of a random strength up to `noise` per page."""
    patches = to_patches(batch.pixels.flatten(0, 1))
    strength = torch.rand(len(patches), 1, 1, generator=generator) * noise
    patches = patches + strength * torch.randn(patches.shape, generator=generator)
    seen = forward.vision(patches, batch.shape.rows, batch.shape.columns)
    return seen.view(len(batch.pixels), -1, seen.shape[-1])


def vision_losses(heads: VisionHeads, seen: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Cross entropy of the characters, and of format and topic on every token that shows a request."""
    guess = heads.characters(seen).float().unflatten(-1, (SLOTS, -1))
    losses = {"characters": F.cross_entropy(guess.flatten(0, 2), batch.characters.flatten())}
    requests = batch.asks & (batch.exchange >= 0)
    if requests.any():
        facts = batch.facts.gather(1, batch.exchange.clamp(min=0)[..., None].expand(-1, -1, 3))[requests]
        formats, topics = heads.facts(seen[requests]).float().split((len(FORMATS), len(TOPICS)), -1)
        losses["format"] = F.cross_entropy(formats, facts[:, 0])
        losses["topic"] = F.cross_entropy(topics, facts[:, 1])
    return losses


def reading_accuracy(heads: VisionHeads, seen: Tensor, batch: Batch) -> Tensor:
    """Share of the visible characters that the probe reads correctly."""
    with torch.no_grad():
        guess = heads.characters(seen).unflatten(-1, (SLOTS, -1)).argmax(-1)
        visible = batch.characters != SPACE
        return (guess == batch.characters)[visible].float().mean()


def vision_step(
    forward: PackedForward, heads: VisionHeads, step: int, seed: int, size: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one step, alternating between chats and random characters, on one page each."""
    rng = random.Random(f"train/vision/{seed}/{step}")
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    shape = Shape(1, rng.randint(4, 12), rng.randint(6, 10))
    batch = build_batch(rng, shape, size, 1)
    if step % 2:
        batch = scramble(rng, batch)
    with mixed_precision():
        seen = see(forward, batch, 0.1, generator)
        losses = vision_losses(heads, seen, batch)
        accuracy = reading_accuracy(heads, seen, batch)
    total = losses["characters"] + 0.3 * (losses.get("format", 0) + losses.get("topic", 0))
    name = "reads_random" if step % 2 else "reads"
    return total, losses | {name: accuracy}
