"""vLLM's own counters. A load is measured by the difference before and after it."""

import math
from collections import defaultdict
from dataclasses import dataclass, field

from freqq.serve.endpoint import Endpoint

FIRST_TOKEN = "vllm:time_to_first_token_seconds"
NEXT_TOKEN = "vllm:inter_token_latency_seconds"
PROMPT = "vllm:request_prompt_tokens"
PREEMPTIONS = "vllm:num_preemptions_total"
KV_USAGE = "vllm:kv_cache_usage_perc"


@dataclass(frozen=True)
class Metrics:
    """Values, and histograms: counts up to each bucket's upper edge. Of several engines counters are summed, and of
    `KV_USAGE`, a fraction, the largest is taken.
    """

    values: dict[str, float] = field(default_factory=dict)
    buckets: dict[str, dict[float, float]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Metrics":
        """Parse Prometheus's text format."""
        values: dict[str, float] = defaultdict(float)
        buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        for line in text.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            name, _, value = line.rpartition(" ")
            name, _, labels = name.partition("{")
            if name.endswith("_bucket"):
                edge = labels.partition('le="')[2].partition('"')[0]
                buckets[name.removesuffix("_bucket")][float(edge)] += float(value)
            elif name == KV_USAGE:
                values[name] = max(values[name], float(value))
            else:
                values[name] += float(value)
        return cls(dict(values), {name: dict(counts) for name, counts in buckets.items()})

    @classmethod
    def read(cls, server: Endpoint) -> "Metrics":
        """Read from a server.

        Raises
        ------
        OSError
            If the server does not return metrics.
        """
        with server.opener().open(server.url.removesuffix("/v1") + "/metrics", timeout=30) as response:
            return cls.parse(response.read().decode())

    def since(self, before: "Metrics") -> "Metrics":
        """The difference of counters; meaningless for gauges."""
        return Metrics(
            {name: value - before.values.get(name, 0.0) for name, value in self.values.items()},
            {
                name: {edge: count - before.buckets.get(name, {}).get(edge, 0.0) for edge, count in counts.items()}
                for name, counts in self.buckets.items()
            },
        )

    def mean(self, name: str) -> float:
        """The mean of a histogram's values; NaN if it has none."""
        count = self.values.get(f"{name}_count", 0.0)
        return self.values.get(f"{name}_sum", 0.0) / count if count else math.nan

    def quantile(self, name: str, q: float) -> float:
        """A quantile of a histogram's values, linear within its bucket as in Prometheus; NaN if it has none."""
        edges = sorted(self.buckets.get(name, {}).items())
        total = edges[-1][1] if edges else 0.0
        if not total:
            return math.nan
        lower, below = 0.0, 0.0
        for edge, count in edges:
            if count >= q * total:
                if math.isinf(edge):
                    return lower
                return lower + (edge - lower) * (q * total - below) / max(count - below, 1e-12)
            lower, below = edge, count
        return lower
