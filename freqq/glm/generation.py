"""Generation from sequences that may be shorter than their pages."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from freqq.errors import FreqqError, Interrupted, UserError
from freqq.glm.cache import preallocated_cache
from freqq.glm.decoding import GREEDY, Generation
from freqq.glm.families import family_of
from freqq.glm.memory_saving import NO_SAVING, MemorySaving
from freqq.glm.sampling import processors
from freqq.glm.sequence import Prompt, left_pad, until_end


@dataclass(frozen=True)
class Generated:
    """One sample's new tokens, up to and with its end token.

    ``kv_bytes`` is its share of the cache at the end. The two times are its share of the batch's, so that
    ``prefill_s + decode_s_per_token * (len(tokens) - 1)``, summed over a batch, is the time that the batch took.
    """

    tokens: list[int]
    finished: bool
    kv_bytes: int
    prefill_s: float
    decode_s_per_token: float


class _PrefillClock(LogitsProcessor):
    """Notes when the first logits are there; changes nothing."""

    def __init__(self) -> None:
        self.first: float | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.first is None:
            self.first = now(scores.device)
        return scores


class _Stop(LogitsProcessor):
    """Ends generation before the next token if a stop is requested; changes nothing else."""

    def __init__(self, requested: Callable[[], bool]) -> None:
        self._requested = requested

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._requested():
            raise Interrupted("stopped between two tokens")
        return scores


class _HalfEnded(StoppingCriteria):
    """Ends a call of ``generate`` when at most half of its rows have not ended."""

    def __init__(self, ends: Tensor) -> None:
        self._ends = ends
        self._ended: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        ended = torch.isin(input_ids[:, -1], self._ends)
        self._ended = ended if self._ended is None else self._ended | ended
        return (2 * (~self._ended).sum() <= len(ended)).expand(len(ended))


def now(device: torch.device) -> float:
    """Seconds on a monotonic clock, once everything queued on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def end_token_ids(model: Any) -> frozenset[int]:
    """The ids that end an answer."""
    ids = model.generation_config.eos_token_id
    return frozenset([ids] if isinstance(ids, int) else ids or [])


def _known(ids: Sequence[int], model: Any) -> frozenset[int]:
    return frozenset(id for id in ids if id < model.config.text_config.vocab_size)


def model_inputs(model: Any, prompts: Sequence[Prompt], features: Sequence[Sequence[Tensor]]) -> dict[str, Any]:
    """The arguments of a model's ``generate`` or ``forward`` for prompts, for any way of decoding.

    Pages enter through ``mm_encoder_outputs``, which is built for each call: ``generate`` may change it in place.
    Positions are always given: the prompt's here, and each new token's by ``generate``, which counts on from the last
    column. So the model's own memory of a former call (``rope_deltas``) is neither read nor written.

    Parameters
    ----------
    model : one of transformers, of a family in `freqq.glm.families`
    prompts : one a sample
    features : [k_i, C] for each page of each sample, one row for each kept placeholder

    Raises
    ------
    UserError
        If the features are not those of this model, by their number of channels.
    """
    family = family_of(model.config.model_type)
    where = [family.positions(model, prompt) for prompt in prompts]
    pad_id = model.generation_config.pad_token_id
    batch = left_pad(
        [p.input_ids[p.kept] for p in prompts], where, min(end_token_ids(model)) if pad_id is None else pad_id
    )
    pages = tuple(page.to(model.device, model.dtype) for sample in features for page in sample)
    channels = family.channels(model.config)
    for page in pages:
        if page.shape[1] != channels:
            raise UserError(f"tokens of {page.shape[1]} channels are not of this model, which has {channels}")
    return {
        "input_ids": batch.input_ids.to(model.device),
        "attention_mask": batch.attention_mask.to(model.device),
        "position_ids": batch.position_ids.to(model.device),
        "mm_encoder_outputs": {"image": family.encoder_output(pages, model.config)} if pages else None,
    }


def generate_from(
    model: Any,
    prompts: Sequence[Prompt],
    features: Sequence[Sequence[Tensor]],
    max_new_tokens: int,
    generation: Generation = GREEDY,
    saving: MemorySaving = NO_SAVING,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[Generated]:
    """Continue prompts; see `model_inputs`.

    Raises
    ------
    Interrupted
        If a stop is requested, before the next token.
    FreqqError
        If a sequence does not fit into the model's positions, or features are not of this model.
    """
    _check_lengths(model, prompts, max_new_tokens)
    ends = end_token_ids(model) | _known(generation.stop_token_ids, model)
    inputs = model_inputs(model, prompts, features)
    # On a CPU there is nowhere to go, and transformers asks for an accelerator's stream.
    if saving.offload and model.device.type == "cuda":
        cache: dict[str, Any] = {"cache_implementation": "offloaded"}
    else:
        cache = {"past_key_values": preallocated_cache(model.config)}
    clock, own = _PrefillClock(), processors(generation, prompts)
    options = {
        "logits_processor": LogitsProcessorList([clock, _Stop(stop_requested), *own]),
        "do_sample": False,
        "num_beams": 1,
        "return_dict_in_generate": True,
        **cache,
        **({"eos_token_id": sorted(ends)} if ends != end_token_ids(model) else {}),
    }
    # In half precision the size of a batch can change a token, and a processor knows its rows.
    shrink = model.dtype == torch.float32 and not own and "past_key_values" in cache
    start = now(model.device)
    with torch.no_grad():
        new, kept = _generate(model, inputs, max_new_tokens, ends, options, saving.prefill_chunk, shrink)
    end = now(model.device)
    first = end if clock.first is None else clock.first
    answers = [until_end(tokens, ends) for tokens in new]
    decoded = sum(len(tokens) - 1 for tokens, _ in answers)
    return [
        Generated(
            tokens,
            finished,
            # The last token was never fed back, so it is not in the cache.
            kv_bytes=kv_bytes_per_token(kept) * (len(prompt) + len(tokens) - 1),
            prefill_s=(first - start) / len(prompts),
            decode_s_per_token=(end - first) / decoded if decoded else 0.0,
        )
        for (tokens, finished), prompt in zip(answers, prompts, strict=True)
    ]


def _generate(
    model: Any,
    inputs: dict[str, Any],
    max_new_tokens: int,
    ends: frozenset[int],
    options: dict[str, Any],
    prefill_chunk: int | None,
    shrink: bool,
) -> tuple[list[list[int]], Any]:
    """Each row's new tokens, and the cache.

    With `shrink`, whenever half of the rows have ended the others go on without them: one answer that does not end
    would otherwise keep a batch of short ones in each of its steps.
    """
    start, mask, last = inputs["input_ids"].shape[1], inputs["attention_mask"], inputs["position_ids"][..., -1:]
    rows, end_ids = torch.arange(len(mask)), torch.tensor(sorted(ends), dtype=torch.long, device=mask.device)
    found: list[list[int]] = [[]] * len(mask)
    done = 0
    while True:
        output = model.generate(
            **inputs,
            **options,
            max_new_tokens=max_new_tokens - done,
            stopping_criteria=StoppingCriteriaList([_HalfEnded(end_ids)] if shrink else []),
            prefill_chunk_size=None if done else prefill_chunk,
        )
        new = output.sequences[:, start:]
        for row, tokens in zip(rows.tolist(), new.tolist(), strict=True):
            found[row] = tokens
        # On the CPU, where it fits caches of any device: one model's layers may be on several.
        alive = (~torch.isin(new, end_ids).any(1)).nonzero().flatten().cpu()
        rows, done = rows[alive], new.shape[1]
        if not (shrink and len(alive) and done < max_new_tokens):
            return found, output.past_key_values
        output.past_key_values.batch_select_indices(alive)
        inputs = {
            "input_ids": output.sequences[alive],
            "attention_mask": torch.cat([mask[rows], mask.new_ones(len(rows), done)], 1),
            "position_ids": last[..., rows, :] + done,  # of the last token, which the cache does not hold yet
        }


def kv_bytes_per_token(cache: Any) -> int:
    """Bytes that one token of one sample takes in a key-value cache, over all its layers, read from its tensors."""
    tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    return sum(tensor.nbytes // (tensor.shape[0] * tensor.shape[2]) for tensor in tensors)


def _check_lengths(model: Any, prompts: Sequence[Prompt], max_new_tokens: int) -> None:
    limit = model.config.text_config.max_position_embeddings
    longest = max(len(prompt) for prompt in prompts)
    if longest + max_new_tokens > limit:
        raise FreqqError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones do not fit into the model's {limit}: "
            "use fewer pages, a lower resolution or a smaller --max-new-tokens"
        )
