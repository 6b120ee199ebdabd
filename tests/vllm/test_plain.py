"""Without a method the plug-in changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.vllm.conftest import needs_vllm


@needs_vllm
def test_without_a_method_every_bit_is_plain_vllms():
    environment = os.environ | {
        "VLLM_PLUGINS": "", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    script = Path(__file__).with_name("plain.py")
    done = subprocess.run(
        [sys.executable, str(script), "4", "0"], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["modules"] == ["vllm.model_executor.models.glm4_1v", "freqq.vllm.model"]
    assert found["equal"]
