#!/usr/bin/env bash
# Every way to cut or to quantize vision tokens, at every level and needle count, each paired with the baseline.
# Any argument goes to freqq eval: examples/sweep_tokens.sh --limit 20 --needle 2
# A stopped sweep goes on where it was when it is started again; its rows are in runs/sweep-tokens/results.parquet.
set -euo pipefail

methods=()
for name in token token-lowpass token-prune token-highpass token-stratified token-pool token-random token-stride token-merge \
    token-divprune token-int8 token-int4 token-original token-vq token-lowpass+quantize token-divprune+quantize; do
    methods+=(--method "$name")
done

usual=(--needle "2,4,8" --limit 200 --seed 1)
options=() # those of the usual ones that are not given
for ((i = 0; i < ${#usual[@]}; i += 2)); do
    [[ " $* " == *" ${usual[i]}"[\ =]* ]] || options+=("${usual[@]:i:2}")
done

freqq eval "${methods[@]}" "${options[@]}" --level all --out runs/sweep-tokens "$@"
