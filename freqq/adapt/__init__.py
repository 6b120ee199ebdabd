"""The training phase: adapt a model to the tokens that a compressor leaves."""
