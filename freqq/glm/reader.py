"""A loaded model that sees pages and answers questions about them."""

import gc
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from freqq.errors import Interrupted, OutOfMemory
from freqq.glm import sdpa
from freqq.glm.decoding import GREEDY, Generation
from freqq.glm.device_errors import classified
from freqq.glm.families import family_of
from freqq.glm.generation import Generated, generate_from
from freqq.glm.memory_saving import NO_SAVING, MemorySaving
from freqq.glm.processor import ChatWriter
from freqq.glm.sequence import Prompt, as_compressed, expand, packs
from freqq.pages.page import Page
from freqq.tokens.grid import CompressedGrid

MAX_NEW_TOKENS = 512
MAX_PATCHES = 8192
"""Patches per vision pass, about three of Glyph's pages: bounds the memory of `Reader.see_many`."""


@dataclass(frozen=True)
class Answer:
    """An answer and its costs.

    Parameters
    ----------
    text : str
        The response, including the reasoning, without special tokens unless `Generation.special_tokens`. If the prompt
        opens the reasoning, the text begins with ``<think>`` too.
    prompt_tokens : int
        Length of the sample's sequence after pruning, without padding.
    new_tokens : int
        Generated tokens, including the end token.
    vision_tokens : int
        Page tokens of the prompt.
    kv_bytes : int
        The sample's share of the key-value cache after its last token, measured on the cache's tensors.
    prefill_ms, decode_ms_per_token : float
        The sample's share of its batch's time: prefill is divided equally, decoding by new tokens.
    peak_memory_bytes : int
        On CUDA the most allocated while answering, including weights; on a CPU the process's peak so far.
    truncated : bool
        Whether the model reached the limit of new tokens before the end of its answer.
    prefill_chunk : int or None
        Prompt tokens read at a time; None: all.
    """

    text: str
    prompt_tokens: int
    new_tokens: int
    vision_tokens: int
    kv_bytes: int
    prefill_ms: float
    decode_ms_per_token: float
    peak_memory_bytes: int
    truncated: bool
    prefill_chunk: int | None = None


class Reader:
    """Sees pages as grids of tokens, and answers questions from those grids or from compressed ones.

    Created by `freqq.glm.load.load_reader`.

    Attributes
    ----------
    stop_requested : callable
        Called between two tokens and before pages are seen; if True, `Interrupted` is raised.
    pages_at_once : int or None
        The smallest vision pass, in pages, of the last `see_many` if memory ran out; else None.
    """

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any, model_name: str, revision: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.model_name = model_name
        self.revision = revision
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.device = str(model.device)
        attention = str(model.config._attn_implementation)
        self.attention = "sdpa" if attention == sdpa.NAME else attention
        self.family = family_of(model.config.model_type)
        self.stop_requested: Callable[[], bool] = lambda: False
        self.pages_at_once: int | None = None
        self._writer = ChatWriter(tokenizer, model.config.image_token_id, self.family.page_marks(tokenizer))

    def see(self, pages: Sequence[Page]) -> list[Tensor]:
        """One grid [h, w, C] of tokens per page, after the merger, in the model's dtype and on its device.

        Raises
        ------
        UserError
            If a page's aspect ratio is too extreme for the image processor.
        """
        return self.see_many([pages])[0]

    def see_many(self, pages_per_sample: Sequence[Sequence[Page]]) -> list[list[Tensor]]:
        """Like `see`, for many samples in packed passes. Attention stays within a page; equal to 1e-5 in float32."""
        self.pages_at_once = None
        pages = [page for sample in pages_per_sample for page in sample]
        grids = iter(self._see_all(pages))
        return [[next(grids) for _ in sample] for sample in pages_per_sample]

    def token_count(self, page: Page) -> int:
        """The number of tokens of a page, without seeing it."""
        height, width = page.pixels.shape[:2]
        h, w = self.family.grid_shape(height, width, self.image_processor, self.model.config)
        return h * w

    def length(self, question: str, pages: Sequence[Page], generation: Generation = GREEDY) -> int:
        """Prompt tokens of a question about uncompressed pages, without seeing them."""
        written = self._writer.write(question, len(pages), generation.special_tokens)
        return len(written) + sum(self.token_count(page) - 1 for page in pages)

    def answer(
        self, question: str, grids: Sequence[Tensor | CompressedGrid], max_new_tokens: int = MAX_NEW_TOKENS
    ) -> Answer:
        """Answer one question about seen pages; see `answer_many`."""
        return self.answer_many([question], [grids], max_new_tokens)[0]

    def answer_many(
        self,
        questions: Sequence[str],
        grids: Sequence[Sequence[Tensor | CompressedGrid]],
        max_new_tokens: int = MAX_NEW_TOKENS,
        generation: Generation = GREEDY,
        saving: MemorySaving = NO_SAVING,
        fit: bool = False,
    ) -> list[Answer]:
        """Answer a batch; answers do not depend on the rest of the batch, up to rounding.

        Parameters
        ----------
        questions : one per sample; special tokens in it are plain text unless `generation` says otherwise
        grids : each sample's pages, plain [h, w, C] or compressed; dropped tokens shorten the sequence
        max_new_tokens : int
        generation : Generation
        saving : MemorySaving
        fit : bool
            Reduce a sample's new tokens to what the model's positions allow after its prompt.

        Raises
        ------
        FreqqError
            If a sequence exceeds the model's positions; `OutOfMemory` if the batch does not fit into memory.
        """
        if not questions:
            return []
        pages = [[as_compressed(grid) for grid in sample] for sample in grids]
        image_token_id = self.model.config.image_token_id
        prompts = [
            expand(self._writer.write(question, len(sample), generation.special_tokens), sample, image_token_id)
            for question, sample in zip(questions, pages, strict=True)
        ]
        features = [[page.features for page in sample] for sample in pages]
        self._reset_peak_memory()
        outputs: dict[int, Generated] = {}
        try:
            for allowed, where in self._by_room(prompts, max_new_tokens, fit).items():
                own = [prompts[i] for i in where], [features[i] for i in where]
                generated = generate_from(self.model, *own, allowed, generation, saving, self.stop_requested)
                outputs |= zip(where, generated, strict=True)
        except (RuntimeError, MemoryError) as error:
            what = f"{len(prompts)} prompts of up to {max(map(len, prompts))} tokens"
            less = "use a smaller --batch-size, a --prefill-chunk, --offload or fewer pages"
            raise classified(error, f"{what} at once: {less}") from error
        peak = self._peak_memory()
        return [
            Answer(
                text=self._writer.opening(len(page)) + self._text(output.tokens, generation),
                prompt_tokens=len(prompt),
                new_tokens=len(output.tokens),
                vision_tokens=prompt.vision_tokens,
                kv_bytes=output.kv_bytes,
                prefill_ms=output.prefill_s * 1e3,
                decode_ms_per_token=output.decode_s_per_token * 1e3,
                peak_memory_bytes=peak,
                truncated=not output.finished,
                prefill_chunk=saving.prefill_chunk,
            )
            for output, prompt, page in ((outputs[i], prompts[i], pages[i]) for i in range(len(prompts)))
        ]

    def _text(self, tokens: Sequence[int], generation: Generation) -> str:
        skip = not generation.special_tokens
        return str(self.tokenizer.decode(tokens, skip_special_tokens=skip, clean_up_tokenization_spaces=False))

    def _by_room(self, prompts: Sequence[Prompt], max_new_tokens: int, fit: bool) -> dict[int, list[int]]:
        """The prompts grouped by their allowed new tokens, which do not depend on the rest of the batch."""
        limit = self.model.config.text_config.max_position_embeddings
        groups: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):
            room = max(1, limit - len(prompt)) if fit else max_new_tokens
            groups.setdefault(min(max_new_tokens, room), []).append(i)
        return groups

    def _see_all(self, pages: Sequence[Page]) -> list[Tensor]:
        patches_per_token = self.family.patches_per_token(self.model.config)
        sizes = [self.token_count(page) * patches_per_token for page in pages]
        grids: list[Tensor] = []
        for run in packs(sizes, MAX_PATCHES):
            grids += self._see_at_once(pages[run])
        return grids

    def _see_at_once(self, pages: Sequence[Page]) -> list[Tensor]:
        """See pages in one pass, or, if memory runs out, in two of half as many each."""
        if self.stop_requested():
            raise Interrupted("stopped before all pages were seen")
        try:
            return self.family.see(self.model, pages, self.image_processor)
        except (RuntimeError, MemoryError) as error:
            failed = classified(error, f"{len(pages)} pages at once: use a smaller --batch-size or fewer pages")
            if not isinstance(failed, OutOfMemory) or len(pages) == 1:
                raise failed from error
        # Outside the handler, because the error references the tensors that used the memory.
        gc.collect()
        torch.cuda.empty_cache()
        half = len(pages) // 2
        self.pages_at_once = min(self.pages_at_once or half, half)
        return self._see_at_once(pages[:half]) + self._see_at_once(pages[half:])

    def _reset_peak_memory(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.model.device)

    def _peak_memory(self) -> int:
        if self.model.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.model.device))
        # Linux counts in KiB, macOS in bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
