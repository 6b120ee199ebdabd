"""What the plug-in changes in vLLM beside the model: all that depends on parts of it that are no interface.

Rotary embeddings read fractions of positions. The runner on a CPU asks the model for positions. And a page that a
worker cannot read fails its request, on a way that vLLM does not have: `marked` embeddings say so in the worker's cache
of pages, `let_workers_report` sends the reason along with the step's tokens, `PageScheduler` ends the requests that
hold the page and lets later ones read it anew, and `let_frontends_say_why` makes it a 400.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor
from vllm.exceptions import VLLMValidationError
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding
from vllm.model_executor.models.interfaces import supports_multimodal_pruning
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason
from vllm.v1.engine.output_processor import OutputProcessor
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import RequestStatus
from vllm.v1.worker.gpu_worker import Worker

from freqq.vllm.positions import fraction_part, most_positions, whole_part
from freqq.vllm.processor import beyond_of


class FractionalRows:
    """Replaces the table of cosines and sines of a rotary embedding, and reads encoded positions.

    Rows of whole positions are the table's own, to the bit. All layers ask for the same positions, so they are computed
    once a step; in a compiled graph they are part of it.
    """

    def __init__(self, rotary: MRotaryEmbedding) -> None:
        self._table: Callable[[Tensor], Tensor] = rotary._match_cos_sin_cache_dtype
        self._frequencies = rotary._compute_inv_freq(rotary.base)
        self._scale = rotary.mscale
        self._asked: Tensor | None = None

    def __call__(self, query: Tensor) -> "FractionalRows":
        """The table is requested in the query's number format."""
        self._whole = self._table(query)
        return self

    def __getitem__(self, positions: Tensor) -> Tensor:
        """Cosines and sines [3, n, dimensions] of encoded positions [3, n]."""
        if torch.compiler.is_compiling():
            return self._rows(positions)
        if self._asked is not positions:
            self._asked, self._answer = positions, self._rows(positions)
        return self._answer

    def _rows(self, positions: Tensor) -> Tensor:
        whole, fraction = whole_part(positions), fraction_part(positions)
        rows = self._whole[whole]
        angles = (whole + fraction)[..., None] * self._frequencies.to(positions.device)
        between = torch.cat([angles.cos(), angles.sin()], -1).mul(self._scale).to(rows.dtype)
        return torch.where((fraction > 0)[..., None], between, rows)


def take_fractions(model: torch.nn.Module) -> None:
    """Let a model's rotary embeddings read encoded positions from now on."""
    for module in model.modules():
        if isinstance(module, MRotaryEmbedding) and not isinstance(module._match_cos_sin_cache_dtype, FractionalRows):
            module._match_cos_sin_cache_dtype = FractionalRows(module)


def let_cpu_runner_recompute() -> None:
    """Let vLLM's runner on a CPU ask for positions: unlike the one it derives from, it does not look whether to."""
    module = sys.modules.get("vllm.v1.worker.cpu_model_runner")
    if module is not None:
        module.CPUModelRunner.is_multimodal_pruning_enabled = property(
            lambda runner: supports_multimodal_pruning(runner.get_model()), lambda runner, value: None
        )


MARK = -2
"""In the first of the columns behind a page's embeddings: it could not be read, and the second says which reason."""

REASONS: dict[str, int] = {}
"""Why this process could not read pages, numbered. Numbers have to be exact in bfloat16."""

REASONS_MOST = 256
OTHER_REASON = "freqq: a page cannot be read, see the engine's log"

FAILED_PAGES = "freqq_failed_pages"
"""Attribute of a step's output: reasons by what vLLM identifies pages by."""

REMEMBERED = 10_000
"""Failures of pages, so many that the caches of an engine's workers hold no other marked ones."""


def marked(features: Tensor, columns: int, reason: str) -> Tensor:
    """Zeros in place of features [k, C], with `columns` more that say why. Not NaN: that would spread in the caches."""
    if reason not in REASONS and len(REASONS) >= REASONS_MOST - 1:
        reason = OTHER_REASON
    page = features.new_zeros(len(features), features.shape[1] + columns)
    page[:, -columns] = MARK
    page[:, 1 - columns] = REASONS.setdefault(reason, len(REASONS))
    return page


def failed_pages(cache: Mapping[str, Tensor], columns: int) -> dict[str, str]:
    """The reasons of all marked pages of a worker's cache."""
    reasons = list(REASONS)
    return {
        page: reasons[int(seen[0, 1 - columns])]
        for page, seen in cache.items()
        if len(seen) and seen[0, -columns] == MARK
    }


def let_workers_report(columns: int) -> None:
    """Let workers send along with a step's output which pages they could not read."""
    if hasattr(Worker.execute_model, FAILED_PAGES):
        return
    execute, sample = Worker.execute_model, Worker.sample_tokens

    @wraps(execute)
    def execute_model(self: Worker, scheduler_output: Any) -> Any:
        output = execute(self, scheduler_output)
        found = {}
        if REASONS and scheduler_output.scheduled_encoder_inputs:
            cache = self.model_runner.encoder_cache
            found = failed_pages(getattr(cache, "encoder_outputs", cache), columns)  # of the newer runner, or the older
        setattr(self, FAILED_PAGES, found)
        return _with_failed_pages(output, found)

    @wraps(sample)
    def sample_tokens(self: Worker, grammar_output: Any) -> Any:
        return _with_failed_pages(sample(self, grammar_output), getattr(self, FAILED_PAGES, {}))

    setattr(execute_model, FAILED_PAGES, True)
    Worker.execute_model, Worker.sample_tokens = execute_model, sample_tokens


def _with_failed_pages(output: Any, found: dict[str, str]) -> Any:
    if found and output is not None:
        made = output
        for name in ("_model_runner_output", "model_runner_output"):  # of one that is still on its way from a GPU
            made = getattr(output, name, made)
        if isinstance(made, ModelRunnerOutput):
            setattr(made, FAILED_PAGES, found)
    return output


class PageScheduler:
    """Ends requests with pages that a worker could not read. Before a class of vLLM's schedulers, see `scheduler`."""

    requests: dict[str, Any]
    vllm_config: Any
    kv_cache_manager: Any
    finish_requests: Callable[[list[str], RequestStatus], list[Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._failed: dict[str, str] = {}

    def add_request(self, request: Any) -> None:
        """Let a request read a page that failed before under a name that no cache knows: it may be read now.

        Its answer ends where positions do, which may be before the context's end.
        """
        if request.mm_features:
            model = self.vllm_config.model_config
            beyond = sum(beyond_of(feature.data.get_data(), model.hf_config) for feature in request.mm_features)
            left = most_positions(model) - request.num_prompt_tokens - beyond
            request.max_tokens = min(request.max_tokens, max(1, left))
        if any(feature.identifier in self._failed for feature in request.mm_features):
            request.mm_features = [
                replace(feature, identifier=self._new_name(feature.identifier)) for feature in request.mm_features
            ]
            request.block_hashes = []  # of the names, too
            request.update_block_hashes()
        super().add_request(request)  # type: ignore[misc]

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> dict[int, EngineCoreOutputs]:
        """Outputs of a step by client."""
        self._failed.update(getattr(model_runner_output, FAILED_PAGES, {}))
        while len(self._failed) > REMEMBERED:
            del self._failed[next(iter(self._failed))]
        ended = self._end(scheduler_output.num_scheduled_tokens) if self._failed else []
        outputs: dict[int, EngineCoreOutputs] = super().update_from_output(  # type: ignore[misc]
            scheduler_output, model_runner_output
        )
        for request, reason in ended:
            outputs.setdefault(request.client_index, EngineCoreOutputs()).outputs.append(
                EngineCoreOutput(
                    request.request_id, [], finish_reason=FinishReason.ERROR, stop_reason=reason,
                    events=request.take_events(), trace_headers=request.trace_headers,
                )
            )  # fmt: skip
        return outputs

    def _new_name(self, page: str) -> str:
        """What a page is identified by: a digest that vLLM made, and how often the page failed if it did."""
        names = chain([page], (f"{page} {failures}" for failures in count(1)))
        return next(name for name in names if name not in self._failed)

    def _end(self, scheduled: Mapping[str, int]) -> list[tuple[Any, str]]:
        ended = []
        for request in [self.requests[name] for name in scheduled if name in self.requests]:
            pages = [feature.identifier for feature in request.mm_features]
            reason = next((self._failed[page] for page in pages if page in self._failed), None)
            if reason is not None and not request.is_finished():
                # Else what was computed of the zeros would be found again when the failure is forgotten.
                blocks = self.kv_cache_manager.get_block_ids(request.request_id)
                self.kv_cache_manager.evict_blocks({block for group in blocks for block in group})
                self.finish_requests([request.request_id], RequestStatus.FINISHED_ERROR)
                ended.append((request, reason))
        return ended


def scheduler(vllm_config: Any, **kwargs: Any) -> Any:
    """What vLLM calls for its scheduler (``--scheduler-cls``), by then knowing whether it schedules ahead."""
    base = AsyncScheduler if vllm_config.scheduler_config.async_scheduling else Scheduler
    return type("PageScheduler", (PageScheduler, base), {})(vllm_config=vllm_config, **kwargs)


def let_frontends_say_why() -> None:
    """Let a request that was ended with a reason raise it, so that a server answers it with 400 and the reason."""
    process = OutputProcessor.process_outputs
    if hasattr(process, FAILED_PAGES):
        return

    @wraps(process)
    def process_outputs(
        self: OutputProcessor, engine_core_outputs: list[EngineCoreOutput], *args: Any, **kwargs: Any
    ) -> Any:
        ended = [
            (state.queue, str(output.stop_reason))
            for output in engine_core_outputs
            if output.finish_reason == FinishReason.ERROR and output.stop_reason is not None
            if (state := self.request_states.get(output.request_id)) is not None and state.queue is not None
        ]
        made = process(self, engine_core_outputs, *args, **kwargs)
        for queue, reason in ended:
            queue.put(VLLMValidationError(reason))
        return made

    setattr(process_outputs, FAILED_PAGES, True)
    OutputProcessor.process_outputs = process_outputs
