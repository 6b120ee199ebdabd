"""One vLLM after another in one process, for models of several families: writes what they answer.

Run by test_families.py in a process of its own, in which vLLM finds the plug-in as it is installed.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

from vllm import LLM, ModelRegistry, SamplingParams
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory
from vllm.plugins import load_general_plugins

from freqq.vllm import served

CHUNK = 32
"""Tokens of a step, so that pages are read in pieces."""


def engine(folder: str) -> LLM:
    return LLM(
        folder, dtype="float32", enforce_eager=True, max_model_len=512, max_num_batched_tokens=CHUNK, max_num_seqs=8,
        num_gpu_blocks_override=48, block_size=32, limit_mm_per_prompt={"image": 3}, generation_config="vllm", seed=0,
        distributed_executor_backend="uni", skip_mm_profiling=True, disable_log_stats=True,
        enable_mm_embeds=True, mm_processor_kwargs={"freqq": {"method": "token-prune", "level": "mild"}},
    )  # fmt: skip


def said(llm: LLM, requests: list) -> list:
    """The answer to each request of one method, and the length of its prompt."""
    sampling = SamplingParams(temperature=0, max_tokens=requests[0]["max_tokens"])
    messages = [request["messages"] for request in requests]
    outputs = llm.chat(messages, sampling, use_tqdm=False, mm_processor_kwargs=requests[0].get("mm_processor_kwargs"))
    return [[output.outputs[0].text, len(output.prompt_token_ids)] for output in outputs]


def look_at_models_here() -> None:
    """Let vLLM look at the plug-in's classes in this process; it would start another for each, for half a minute."""
    load_general_plugins()
    from freqq.vllm import model

    for name in served():
        assert ModelRegistry.models[name].module_name == model.__name__
        ModelRegistry.register_model(name, getattr(model, name))


def main(todo: Path, done: Path) -> None:
    look_at_models_here()
    found = {}
    for kind, (folder, asked) in json.loads(todo.read_text()).items():
        start = time.process_time()
        llm = engine(folder)
        found[kind] = {
            "class": llm.apply_model(lambda model: f"{type(model).__module__}.{type(model).__name__}")[0],
            "answers": {name: said(llm, requests) for name, requests in asked.items()},
            "processor_s": time.process_time() - start,
        }
        del llm
        gc.collect()
        cleanup_dist_env_and_memory()
    done.write_text(json.dumps(found))


if __name__ == "__main__":
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    main(*map(Path, sys.argv[1:]))
