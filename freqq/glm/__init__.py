"""The GLM-4V runner: load a model, see pages as grids of tokens, answer questions about them. Import its modules."""

import logging

# peft imports bitsandbytes where that is installed. It logs which kernels it would download, and on a CPU it logs in
# every layer that it computes in float16.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
