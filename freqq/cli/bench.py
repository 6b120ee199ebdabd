"""``freqq bench``: what methods save in a serving engine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freqq.cli import options as o
from freqq.cli.command import option

if TYPE_CHECKING:
    from freqq.bench.turns import Arm, Saving, Turn


TokenMethods = Annotated[list[str], option("--method", "NAME,...", "Token methods.", o.METHODS, o.token_method_names)]
LOAD = "Load"
"""Title of the group of its own options in the help text."""


def bench(
    method: TokenMethods = ["token-prune"],  # noqa: B006
    level: o.Level = o.MILD,
    model: o.Model = "tiny",
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    base_url: o.BaseUrl = None,
    served_model: Annotated[
        str | None,
        option("--served-model", "NAME", "Name of the model on the server; by default the only one there.", o.SERVER),
    ] = None,
    concurrency: Annotated[
        int | None, option("--concurrency", "N", "Requests at a time; 8 by default.", LOAD, min=1)
    ] = None,
    request_rate: Annotated[
        float | None,
        option("--request-rate", "R", "Requests per second; by default one starts when another ends.", LOAD),
    ] = None,
    requests: Annotated[int, option("--requests", "N", "Requests in a turn.", LOAD, min=1)] = 16,
    pages: Annotated[int, option("--pages", "P", "Pages in a request.", LOAD, min=1)] = 4,
    max_new_tokens: Annotated[int, option("--max-new-tokens", "N", "Tokens of an answer.", LOAD, min=1)] = 8,
    repeats: Annotated[int, option("--repeats", "N", "Turns of each method.", LOAD, min=1)] = 5,
    seed: Annotated[int, option("--seed", "S", "Seed of the pages' words.", LOAD)] = 0,
    out: Annotated[Path | None, option("--out", "FILE", "Write every turn to this Parquet file.")] = None,
    tensor_parallel: o.TensorParallel = 1,
    data_parallel: o.DataParallel = 1,
    as_json: o.Json = False,
) -> None:
    """Measure what token methods save in vLLM: throughput, time to first token, key-value cache.

    Each turn asks about new pages, and the methods and the baseline take turns, so that other work on the machine
    affects all of them. Without --base-url, vLLM is started.

    Example: freqq bench --method token-prune --level mild --level aggressive --pages 6 --out bench.parquet
    """
    from contextlib import ExitStack
    from dataclasses import asdict
    from tempfile import NamedTemporaryFile

    from freqq.bench.turns import Load, savings, turns
    from freqq.cli.printing import print_json
    from freqq.errors import UserError
    from freqq.files import check_file
    from freqq.glm.load import find
    from freqq.glm.place import place
    from freqq.glm.spec import check_needs
    from freqq.runs.machine import Machine
    from freqq.runs.served import engine_for
    from freqq.serve.client import Client
    from freqq.serve.endpoint import Endpoint
    from freqq.serve.engine import TIMEOUT_S, running
    from freqq.serve.plugin import START, check_methods, why_not

    arms = _arms(method, level)
    if out is not None:
        check_file(out)
    if concurrency is not None and request_rate is not None:
        raise UserError("--concurrency and --request-rate exclude each other: give one of them")
    given = {"revision": revision is not None, "dtype": dtype != "auto", "tensor-parallel": tensor_parallel > 1,
             "data-parallel": data_parallel > 1}  # fmt: skip
    if base_url is None and served_model is not None:
        raise UserError("--served-model names a model of a running server: give its --base-url")
    if base_url is not None and (other := [name for name, value in given.items() if value]):
        raise UserError(f"--{other[0]} is for an engine that is started: leave it or --base-url out")
    load = Load(requests, pages, max_new_tokens, concurrency or 8, request_rate)
    found: list[Turn] = []
    log: Path | None = None
    with ExitStack() as stack:
        if base_url is None:
            machine = Machine(tensor_parallel=tensor_parallel, data_parallel=data_parallel)
            weights = find(model, revision, in_vllm=True)
            check_needs(weights, [arm[2] for arm in arms if arm[2] is not None])
            engine = engine_for(weights, place(dtype), machine)
            with NamedTemporaryFile(prefix="freqq-bench-", suffix=".log", delete=False) as file:
                log = Path(file.name)  # stays if anything fails
            typer.echo(f"starting vLLM; what it says goes to {log}", err=True)
            stack.enter_context(running(engine, log))
            server = engine.endpoint(concurrency=load.concurrency)
        else:
            server = Endpoint(base_url, concurrency=load.concurrency, timeout_s=TIMEOUT_S)
        client = Client(server)
        stack.callback(client.close)
        name = client.served(served_model if base_url else model).name
        if (reason := why_not(client, name)) is not None:
            raise UserError(f"the server cannot compress tokens as requests ask ({reason}): {START}")
        check_methods(client, name, {f"{arm[0]} ({arm[1]})": arm[2] for arm in arms if arm[2] is not None})
        try:
            for turn in turns(client, name, arms, load, repeats, seed):
                found.append(turn)
                _report(turn)
        finally:
            if out is not None and found:  # also those before one that failed
                _write(out, found, {f"load_{key}": value for key, value in asdict(load).items()} | {"model": name})
    if log is not None:
        log.unlink()
    if as_json:
        print_json({"load": asdict(load), "model": name, "methods": [asdict(s) for s in savings(found)]})
    else:
        _show(savings(found), repeats)


def _arms(method: list[str], level: list[str]) -> "list[Arm]":
    from freqq.bench.turns import BASELINE
    from freqq.names import several
    from freqq.runs.methods import check_names
    from freqq.runs.options import levels
    from freqq.tokens import compressor_at

    names = several("method", method)
    check_names(names)
    chosen = [one for one in levels(level) if one != "baseline"]
    return [(BASELINE, "baseline", None), *((m, one, compressor_at(m, one)) for m in names for one in chosen)]


def _write(out: Path, found: "list[Turn]", shared: dict[str, Any]) -> None:
    """A table of turns, with what they have in common in each row."""
    from dataclasses import asdict

    import pyarrow as pa
    import pyarrow.parquet as pq

    from freqq.files import write_whole

    table = pa.Table.from_pylist([asdict(turn) | shared for turn in found])
    write_whole(out, lambda path: pq.write_table(table, path))


def _report(turn: "Turn") -> None:
    line = f"{turn.method} ({turn.level}), turn {turn.repeat + 1}: {turn.answers_per_s:.2f} answers/s"
    typer.echo(line, err=True)


def _show(found: "list[Saving]", repeats: int) -> None:
    from freqq.cli.printing import show

    rows = [
        [
            f"{s.method} ({s.level})", f"{s.prompt_tokens:.0f}", f"{s.answers_per_s:.2f}", _with_interval(s.throughput),
            f"{1e3 * s.first_token_p50_s:.0f} / {1e3 * s.first_token_p99_s:.0f}", _with_interval(s.first_token),
            f"{1e3 * s.next_token_mean_s:.1f}", f"{100 * s.kv_usage_most:.1f}",
        ]
        for s in found
    ]  # fmt: skip
    columns = [
        "method", "prompt tokens", "answers/s", "throughput", "first token p50 / p99 ms", "first token",
        "next token ms", "KV cache %",
    ]  # fmt: skip
    show("What methods save", columns, rows, f"throughput and first token: ratios to no compression, {repeats} turns")


def _with_interval(values: tuple[float, float, float]) -> str:
    mean, low, high = values
    return f"{mean:.2f}x" if low != low else f"{mean:.2f}x [{low:.2f}, {high:.2f}]"
