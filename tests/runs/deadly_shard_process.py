"""A shard process that is killed when it looks at one of the samples that the environment variable DEADLY names, or
whose device breaks then, if HOW says so."""

import os
import signal

from freqq.data.sample import Sample
from freqq.runs import evaluate, shard_process
from freqq.runs.rendering import Rendering
from freqq.runs.views import Rendered, render_sample


def render_or_die(sample: Sample, rendering: Rendering) -> Rendered:
    if sample.id in os.environ["DEADLY"].split():
        if os.environ.get("HOW") == "device":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        os.kill(os.getpid(), signal.SIGKILL)
    return render_sample(sample, rendering)


if __name__ == "__main__":
    evaluate.render_sample = render_or_die
    shard_process.main()
