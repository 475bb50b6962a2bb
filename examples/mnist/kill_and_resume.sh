#!/usr/bin/env bash
# Kills the example at random moments, 5 times or as often as one says, lets it go on each time, and
# compares its summary with that of a run that nobody disturbed:
#
#     examples/mnist/kill_and_resume.sh path/to/mnist [5]
set -euo pipefail
kills=${2:-5}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mnist=("$1" --optimizer adam-l2,sgdw --epochs "$kills")

start=$(date +%s%3N)
"${mnist[@]}" --out "$folder/undisturbed" >"$folder/output"
# So short that the run is seldom over before the last kill.
longest=$((2 * ($(date +%s%3N) - start) / kills))

resume=()
for ((kill = 1; kill <= kills; kill++)); do
    milliseconds=$((RANDOM % longest + 100))
    "${mnist[@]}" --out "$folder/killed" "${resume[@]}" &>"$folder/output" &
    sleep "$((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000)))"
    if ! kill -KILL $! 2>/dev/null; then
        echo "the run ended before kill number $kill" >&2
        cat "$folder/output" >&2
        exit 1
    fi
    wait $! 2>/dev/null || true
    [[ -e $folder/killed/learner/options.json ]] && resume=(--resume)
    epochs=$(find "$folder/killed" -name 'scheduler-*.bpk' | wc -l)
    echo "killed after $milliseconds ms, with $epochs checkpoints kept"
done
"${mnist[@]}" --out "$folder/killed" "${resume[@]}" >"$folder/output"
cmp "$folder"/{undisturbed,killed}/summary.json
echo "the same summary.json after $kills kills"
