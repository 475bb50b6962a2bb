#!/usr/bin/env bash
# Kills an example at random moments, lets it go on each time, and compares what it writes with what
# a run writes that nobody disturbed. It takes the example, the file to compare, how often to kill,
# and the example's options:
#
#     examples/kill_and_resume.sh path/to/mnist summary.json 5 --epochs 5
set -euo pipefail
result=$2 kills=$3 run=("$1" "${@:4}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

start=$(date +%s%3N)
"${run[@]}" --out "$folder/undisturbed" >"$folder/output"
longest=$((($(date +%s%3N) - start) / kills))

resume=()
for ((kill = 1; kill <= kills; kill++)); do
    "${run[@]}" --out "$folder/killed" "${resume[@]}" &>"$folder/output" &
    milliseconds=$((100 + RANDOM % longest))
    sleep "$((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000)))"
    kill -KILL $! || { echo "the run ended before kill number $kill" && exit 1; }
    wait $! 2>/dev/null || true
    # mnist must be told to go on, where there is something to go on with.
    [[ -e $folder/killed/learner/options.json ]] && resume=(--resume)
done
"${run[@]}" --out "$folder/killed" "${resume[@]}" >"$folder/output"
cmp "$folder"/{undisturbed,killed}/"$result"
echo "the same $result after $kills kills"
