"""Train the embedded model from nothing: `train` runs the stages and writes a model folder."""
