"""``freqq serve``: a model behind OpenAI's chat-completions protocol."""

from typing import Annotated

import typer

from freqq.cli import options as o


def serve(
    model: o.Model = "tiny",
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="0 takes any that is free.")] = 8000,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="B", min=1, help="Questions answered together, if so many wait.")
    ] = 16,
    max_request_mb: Annotated[
        int, typer.Option("--max-request-mb", metavar="MB", min=1, help="The longest request, in MiB.")
    ] = 256,
) -> None:
    """Serve a model to freqq eval --backend openai and other clients of the protocol.

    It answers one user message of pages (data: URLs, or vLLM's image_embeds) and a question, and does not stream. It is
    small and meant for trying things: it asks for no key and encrypts nothing, so listen where you trust who can reach
    it. SIGTERM or Ctrl-C ends it when what is at hand is answered.

    Example: freqq serve --port 8123
    """
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
