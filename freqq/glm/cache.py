"""A key-value cache that allocates memory ahead of the tokens to come.

transformers' own is concatenated anew for each token, which copies all of it: on a CPU that can take longer than the
model's matrix products.
"""

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 128
"""Tokens for which memory is allocated at a time."""


class PreallocatedLayer(DynamicLayer):
    """Keys and values [batch, heads, tokens, size] are the beginnings of longer buffers."""

    _buffers: tuple[Tensor, Tensor]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append those of new tokens; returns all."""
        before = self.get_seq_length()
        if not before:
            self._buffers = super().update(key_states, value_states, *args, **kwargs)
            return self._buffers
        assert self.keys is not None
        assert self.values is not None
        after = before + key_states.shape[-2]
        self._buffers = (
            _appended(self._buffers[0], self.keys, key_states, after),
            _appended(self._buffers[1], self.values, value_states, after),
        )
        self.keys, self.values = (buffer[..., :after, :] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some samples only; the others' memory is free at once."""
        super().batch_select_indices(indices)
        assert self.keys is not None
        assert self.values is not None
        self._buffers = (self.keys, self.values)


def _appended(buffer: Tensor, now: Tensor, new: Tensor, after: int) -> Tensor:
    """A buffer that begins with `now` and `new`, `after` tokens together: the given one if it has room for them."""
    before = now.shape[-2]
    if now.data_ptr() != buffer.data_ptr() or now.shape[:-2] != buffer.shape[:-2] or after > buffer.shape[-2]:
        buffer = now.new_empty(*now.shape[:-2], after + ROOM, now.shape[-1])
        buffer[..., :before, :] = now
    buffer[..., before:after, :] = new
    return buffer


def preallocated_cache(config: Any) -> DynamicCache:
    """An empty cache for a model. Layers of other kinds, such as those of sliding windows, are transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [PreallocatedLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
