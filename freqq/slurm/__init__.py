"""A sharded evaluation on a Slurm cluster."""
