"""Models behind HTTP, in OpenAI's chat-completions protocol: a client for any such server, and a small server."""
