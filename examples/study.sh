#!/usr/bin/env bash
# What the study claims, measured: MRCR with 2, 4 and 8 needles on Glyph, without compression, with its image method
# (block DCT, the largest half of the coefficients) and with its token method at each of its levels. On a cluster:
#   hf download zai-org/Glyph
#   DATA=folder/of/glyphs/files examples/study.sh --check --time 24:00:00        # looks, and submits nothing
#   DATA=folder/of/glyphs/files examples/study.sh --time 24:00:00
# Arguments go to freqq slurm-submit, such as --dry-run, which prints the jobs. The same command again submits what is
# missing and prints the table of what there is so far; what is done or in the queue stays as it is. Without Slurm,
# SUBMIT=local runs one part after another here, and arguments go to freqq eval, such as --gpus 4 or --dry-run:
#   SUBMIT=local MODEL=tiny DATA=mini LIMIT=20 PROTOCOL='--protocol official' examples/study.sh
set -euo pipefail

MODEL=${MODEL:-glyph}
DATA=${DATA:-.}                            # a folder with Glyph's processed files, or mini
FILES='processed_%sneedle_0-128k'          # .json or .jsonl; %s is the number of needles
NEEDLES=${NEEDLES:-2 4 8}
LIMIT=${LIMIT:-500}                        # samples for each number of needles; there are 500
PROTOCOL=${PROTOCOL:---protocol glyph}   # how Glyph was evaluated
GPUS=${GPUS:-4}
OUT=${OUT:-runs/study}
SUBMIT=${SUBMIT:-slurm}                    # or local

# Where the data with so many needles are.
data_of() {
    if [[ ! -d $DATA ]]; then
        echo "$DATA"
        return
    fi
    local name
    # shellcheck disable=SC2059
    name=$DATA/$(printf "$FILES" "$1")
    for file in "$name.json" "$name.jsonl"; do
        if [[ -e $file ]]; then
            echo "$file"
            return
        fi
    done
    echo "error: $name.json is not there: set DATA to the folder of Glyph's processed files" >&2
    exit 2
}

# One part of the study: its name, its number of needles, and the options of its methods.
part() {
    local run=$OUT/$1 data
    data=$(data_of "$2") || return
    if [[ -e $run/results.parquet ]]; then
        echo "$run is done"
        return
    fi
    local evaluate=(--model "$MODEL" --data "$data" --needle "$2" --limit "$LIMIT" "${protocol[@]}" "${@:3}" --out "$run")
    echo "$run"
    if [[ $SUBMIT == local ]]; then
        freqq eval "${evaluate[@]}" "${options[@]}"
    else
        freqq slurm-submit --gpus "$GPUS" --job-name "study-$1" "${options[@]}" -- "${evaluate[@]}"
    fi
}

# One that fails, or is in the queue still, does not keep the others back; one that was stopped does.
try() {
    local code=0
    part "$@" || code=$?
    if [[ $code == 75 ]]; then
        exit 75
    fi
    status=$((code > status ? code : status))
}

if [[ $SUBMIT != local && $SUBMIT != slurm ]]; then
    echo "error: SUBMIT=$SUBMIT: use slurm or local" >&2
    exit 2
fi

for needles in $NEEDLES; do
    data_of "$needles" > /dev/null   # before anything is submitted
done
options=("$@")
read -ra protocol <<< "$PROTOCOL"
status=0
for needles in $NEEDLES; do
    try "${needles}needle-image" "$needles" --method image --level mild --block 14 --keep 0.5
    try "${needles}needle-token" "$needles" --method token --level all --no-baseline
done

python "$(dirname "$0")/study_table.py" "$OUT"
exit "$status"
