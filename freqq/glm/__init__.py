"""The GLM-4V runner: load a model, see pages as grids of tokens, answer questions about them. Import its modules."""

import logging

# Where it is installed, peft imports it, and it tells of kernels that it would like to download; on a CPU it says in
# every layer that it computes in float16.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
