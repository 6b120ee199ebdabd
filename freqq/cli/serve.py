"""``freqq serve``: serve a model by OpenAI's chat-completions protocol, with a small server or vLLM."""

from typing import Annotated

import typer

from freqq.cli import options as o
from freqq.cli.command import argument, option
from freqq.levels import LEVELS
from freqq.names import single


def serve(
    arguments: Annotated[list[str] | None, argument("-- [VLLM OPTIONS]", "Options of vllm serve.")] = None,
    engine: Annotated[
        str,
        option(
            "--engine",
            "freqq|vllm",
            "freqq's own small server, or vLLM with freqq's plug-in that compresses tokens.",
            offered=("freqq", "vllm"),
        ),
    ] = "freqq",
    model: o.Model = "tiny",
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    host: Annotated[str, option("--host", "ADDRESS", "Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, option("--port", "N", "Port to listen on; 0: any free one.", min=0, max=65535)] = 8000,
    batch_size: Annotated[int, option("--batch-size", "B", "Most questions answered together (freqq).", min=1)] = 16,
    max_request_mb: Annotated[int, option("--max-request-mb", "MB", "Largest request in MiB (freqq).", min=1)] = 256,
    method: Annotated[
        list[str] | None,
        option("--method", "NAME", "Token method for requests that name none (vllm).", offered=o.token_method_names),
    ] = None,
    level: Annotated[
        list[str] | None, option("--level", "NAME", "Its level (vllm); mild by default.", offered=LEVELS)
    ] = None,
    tensor_parallel: o.TensorParallel = 1,
    data_parallel: o.DataParallel = 1,
) -> None:
    """Serve a model to freqq eval --backend openai and other clients of the protocol.

    freqq's own server, for trials, answers a user message of pages (data: URLs, or vLLM's image_embeds) and a question,
    and does not stream. vLLM, for production, runs every token method inside the engine.

    Without options of vLLM that say otherwise, there is no key and no encryption: listen only where you trust everyone
    who can connect. SIGTERM or Ctrl-C stops the server after the current requests are answered.

    Example: freqq serve --port 8123

    Example: freqq serve --engine vllm --model glyph --method token-prune --level mild -- --max-model-len 32768
    """
    from freqq.errors import UserError
    from freqq.names import unknown

    if level and not method:
        raise UserError(f"--level {','.join(level)} needs --method")
    chosen = None if not method else (single("method", method), single("level", level or o.MILD))
    if engine == "vllm":
        _serve_by_vllm(
            model, revision, dtype, host, port, chosen, tensor_parallel, data_parallel, tuple(arguments or ())
        )
    elif engine != "freqq":
        raise unknown("engine", engine, ("freqq", "vllm"))
    given = {"method": chosen, "tensor-parallel": tensor_parallel > 1, "data-parallel": data_parallel > 1}
    if other := [name for name, value in given.items() if value]:
        raise UserError(f"--{other[0]} is for --engine vllm")
    if arguments:
        raise UserError(f"{arguments[0]}: what follows -- is for --engine vllm")
    _serve_here(model, revision, dtype, host, port, batch_size, max_request_mb)


def _serve_here(
    model: str, revision: str | None, dtype: str, host: str, port: int, batch_size: int, max_request_mb: int
) -> None:
    from freqq.errors import UserError
    from freqq.glm.load import load_reader

    try:
        from freqq.serve.app import application, listen
        from freqq.serve.app import serve as run
    except ModuleNotFoundError as error:
        raise UserError(f"freqq serve needs {error.name}: pip install 'freqq[serve]'") from error
    sock = listen(host, port)
    reader = load_reader(model, revision, dtype)
    url = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}/v1"
    typer.echo(f"{model} answers at {url}; Ctrl-C ends it")
    run(application(reader, max_request_mb << 20, batch_size), sock)


def _serve_by_vllm(
    model: str,
    revision: str | None,
    dtype: str,
    host: str,
    port: int,
    chosen: tuple[str, str] | None,
    tensor_parallel: int,
    data_parallel: int,
    further: tuple[str, ...],
) -> None:
    """Print the command and replace this process by it, so that signals reach vLLM."""
    import os
    import shlex

    from freqq.runs.methods import check_names

    if chosen is not None:
        check_names(chosen[:1])
    from freqq.glm.load import find
    from freqq.glm.place import place
    from freqq.glm.spec import check_needs
    from freqq.serve.chat import specification
    from freqq.serve.engine import Engine, free_port
    from freqq.tokens import compressor_at

    method = None if chosen is None or chosen[1] == "baseline" else compressor_at(*chosen)
    weights = find(model, revision, in_vllm=True)
    check_needs(weights, [method] if method else [])
    engine = Engine(
        weights.folder, model, place(dtype).dtype, host, port or free_port(host), tensor_parallel,
        data_parallel, specification(method) if method else None, further,
    )  # fmt: skip
    command = engine.command()
    typer.echo(f"{shlex.join(command)}\n{model} will answer at {engine.url}; Ctrl-C ends it")
    os.execv(command[0], command)
