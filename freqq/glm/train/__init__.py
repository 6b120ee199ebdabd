"""Train the embedded model from scratch: `train` runs the stages and writes a model folder."""
