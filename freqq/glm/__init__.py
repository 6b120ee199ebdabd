"""Run models: load one, see pages as grids of tokens, answer questions about them. Import the submodules."""

import logging

# peft imports bitsandbytes if it is installed, which logs the kernels it would download, and on a CPU every layer that
# it computes in float16.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
