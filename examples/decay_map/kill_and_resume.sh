#!/usr/bin/env bash
# Kills a sweep ten times at random moments, lets it go on each time, and compares its table with
# that of a sweep that nobody disturbed:
#
#     examples/decay_map/kill_and_resume.sh path/to/decay_map
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sweep=("$1" --grid 4 --seeds 2 --epochs 20 --train-size 500 --jobs 2)

lines() {
    cat "$folder/killed/runs.jsonl" 2>/dev/null | wc -l || true
}

"${sweep[@]}" --out "$folder/undisturbed" >"$folder/output"
for kill in {1..10}; do
    milliseconds=$((RANDOM % 500 + 50))
    "${sweep[@]}" --out "$folder/killed" &>"$folder/output" &
    sleep "$(printf '0.%03d' $milliseconds)"
    if ! kill -KILL $! 2>/dev/null; then
        echo "the sweep ended before kill number $kill" >&2
        cat "$folder/output" >&2
        exit 1
    fi
    wait $! 2>/dev/null || true
    echo "killed after $milliseconds ms, with $(lines) lines written"
done
"${sweep[@]}" --out "$folder/killed" >"$folder/output"
cmp "$folder"/{undisturbed,killed}/decay_map.csv
echo "the same table, of $(($(lines) - 1)) runs"
