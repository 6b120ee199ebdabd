"""Two vLLMs in one process, one without the plug-in and one with it: prints whether they say the same, and how fast.

Run by test_plain.py, in a process of its own with VLLM_PLUGINS= so that vLLM does not load the plug-in itself.
"""

import json
import os
import sys
import time

from vllm import LLM, SamplingParams
from vllm.model_executor.model_loader import utils
from vllm.model_executor.models import registry

import freqq.vllm
from freqq.bench.turns import page_source
from freqq.glm.load import find
from freqq.serve.chat import chat_request

OVERRIDES = {
    "text_config": {
        "attention_bias": True,
        "rope_parameters": {
            "mrope_section": [3, 3, 2], "mrope_interleaved": True, "partial_rotary_factor": 0.5, "rope_theta": 200.0,
            "rope_type": "default",
        },
    }
}  # fmt: skip
"""What plain vLLM has to be told of the embedded model, and the plug-in knows."""

NEW_TOKENS = 12


def engine(**options: object) -> LLM:
    return LLM(
        str(find("tiny").folder), dtype="float32", enforce_eager=True, max_model_len=4096, generation_config="vllm",
        limit_mm_per_prompt={"image": 8}, distributed_executor_backend="uni", enable_prefix_caching=False, seed=0,
        mm_processor_cache_gb=0, disable_log_stats=True, **options,
    )  # fmt: skip


def said(llm: LLM, prompts: list, alone: bool) -> list:
    """Tokens and log-probabilities of each answer; alone: one after another, so that nothing else is in a step."""
    sampling = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, logprobs=5, ignore_eos=True)
    batches = [[prompt] for prompt in prompts] if alone else [prompts]
    outputs = [output for batch in batches for output in llm.chat(batch, sampling, use_tqdm=False)]
    return [
        [[(token, float(entry.logprob)) for token, entry in step.items()] for step in output.outputs[0].logprobs]
        for output in outputs
    ]


def main(count: int, turns: int) -> None:
    pages = page_source(1)
    prompts = [
        chat_request("tiny", f"What, {i}?", [next(pages) for _ in range(1 + i % 3)], 1)["messages"]
        for i in range(count)
    ]
    plain = engine(hf_overrides=OVERRIDES)
    freqq.vllm.register()
    registry._try_load_model_cls.cache_clear()
    registry._try_inspect_model_cls.cache_clear()
    utils._MODEL_ARCH_BY_HASH.clear()
    plugged = engine()
    kinds = [llm.apply_model(lambda model: type(model).__module__)[0] for llm in (plain, plugged)]
    one, other = said(plain, prompts, True), said(plugged, prompts, True)
    seconds: dict[str, list[float]] = {"plain": [], "plugged": []}
    for turn in range(turns):
        for name, llm in [("plain", plain), ("plugged", plugged)][:: 1 if turn % 2 else -1]:
            start = time.process_time()
            said(llm, prompts, False)
            seconds[name].append(time.process_time() - start)
    print(json.dumps({"modules": kinds, "equal": one == other, "seconds": seconds}))


if __name__ == "__main__":
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    main(*map(int, sys.argv[1:]))
