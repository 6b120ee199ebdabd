#!/usr/bin/env bash
# Two token methods on a Slurm cluster: looked over, submitted, and shown. Arguments go to freqq slurm-submit:
#   MODEL=glyph DATA=processed_2needle_0-128k.json examples/slurm.sh --gpus 4 --partition gpu --time 08:00:00
# After a failure the same command submits what is missing. examples/cluster.md explains the rest.
set -euo pipefail

run=${RUN:-runs/slurm}
evaluate=(
    --model "${MODEL:-tiny}" --data "${DATA:-mini}" --limit "${LIMIT:-100}"
    --method token --method token-highpass --level mild --out "$run"
)

freqq slurm-submit --check "$@" -- "${evaluate[@]}"
freqq slurm-submit "$@" -- "${evaluate[@]}"
freqq slurm-status "$run"
