"""The GLM-4V runner: load a model, see pages as grids of tokens, answer questions about them. Import its modules."""
