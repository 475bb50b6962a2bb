#!/usr/bin/env bash
# Kills a sweep ten times at random moments, lets it go on each time, and compares its table with
# that of one left alone: examples/decay_map/kill_and_resume.sh path/to/decay_map
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sweep=("$1" --grid 4 --seeds 2 --epochs 10 --jobs 2)

"${sweep[@]}" --out "$folder/undisturbed" >"$folder/output"
for kill in {1..10}; do
    "${sweep[@]}" --out "$folder/killed" &>"$folder/output" &
    sleep "0.$((RANDOM % 900 + 100))"
    kill -KILL $! || { echo "the sweep ended before kill number $kill" && exit 1; }
    wait $! 2>/dev/null || true
    echo "killed with $(wc -l <"$folder/killed/runs.jsonl") lines written"
done
"${sweep[@]}" --out "$folder/killed" >"$folder/output"
cmp "$folder"/{undisturbed,killed}/decay_map.csv
echo "the same table, of $(wc -l <"$folder/killed/runs.jsonl") runs"
