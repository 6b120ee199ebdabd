#!/usr/bin/env bash
# Both of the study's methods at every level and needle count, on the embedded model; then one parameter by hand.
# Any argument goes to freqq eval: examples/sweep.sh --limit 20
# A stopped sweep goes on where it was when it is started again.
set -euo pipefail

freqq eval --method image --method token --needle 2 --needle 4 --needle 8 --level all --out runs/sweep "$@"

for bits in 8,8,8 8,6,4 8,4,2; do
    freqq eval --method token --level mild --bits "$bits" --out "runs/sweep-bits-${bits//,/-}" "$@"
done
