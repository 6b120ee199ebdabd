"""Generation from sequences that may be shorter than their pages."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

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
    clock = _PrefillClock()
    start = now(model.device)
    with torch.no_grad():
        output = model.generate(
            **inputs,
            logits_processor=LogitsProcessorList([clock, _Stop(stop_requested), *processors(generation, prompts)]),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            return_dict_in_generate=True,
            prefill_chunk_size=saving.prefill_chunk,
            **cache,
            **({"eos_token_id": sorted(ends)} if ends != end_token_ids(model) else {}),
        )
    end = now(model.device)
    first = end if clock.first is None else clock.first
    new = output.sequences[:, inputs["input_ids"].shape[1] :].tolist()
    answers = [until_end(tokens, ends) for tokens in new]
    decoded = sum(len(tokens) - 1 for tokens, _ in answers)
    return [
        Generated(
            tokens,
            finished,
            # The last token was never fed back, so it is not in the cache.
            kv_bytes=kv_bytes_per_token(output.past_key_values) * (len(prompt) + len(tokens) - 1),
            prefill_s=(first - start) / len(prompts),
            decode_s_per_token=(end - first) / decoded if decoded else 0.0,
        )
        for (tokens, finished), prompt in zip(answers, prompts, strict=True)
    ]


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
