"""Sharded evaluation on a Slurm cluster."""
