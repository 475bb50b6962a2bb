#!/usr/bin/env bash
# What becomes of mnist's run when its files fail: a full disk, files that are cut short or have a bit
# flipped, files that a kill left unfinished. Either it goes on from the last checkpoint that is whole and
# ends as a run that nobody disturbed, or it says which file is damaged. It takes the program and how often
# to damage files at random:
#
#     examples/damage_and_resume.sh path/to/mnist 6
set -euo pipefail
mnist=$1 times=$2 options=(--optimizer adamw --epochs 3)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

run() { "$mnist" "${options[@]}" --out "$folder/run" "$@" &>"$folder/output"; }
ends_the_same() {
    run --resume || { cat "$folder/output" && echo "$1: it does not go on" && exit 1; }
    cmp "$folder/"{undisturbed,run/summary}.json
    echo "$1: goes on, and ends the same"
}
is_refused() {
    ! run --resume || { echo "$1: it is not refused" && exit 1; }
    grep -q 'is damaged' "$folder/output" || { cat "$folder/output" && exit 1; }
    echo "$1: refused"
}
# Back to the state with the checkpoints of the epochs 2 and 3.
restore() { rm -rf "$folder/run" && cp -r "$folder/whole" "$folder/run"; }

run
cp "$folder/run/summary.json" "$folder/undisturbed.json"
cp -r "$folder/run" "$folder/whole"
checkpoints=run/learner/AdamW/checkpoint

flip_a_bit() { # of a file
    local place=$(((RANDOM * 32768 + RANDOM) % $(stat --format %s "$1")))
    local byte=$(od -An -tu1 -j $place -N 1 "$1")
    printf "\\x$(printf %x $((byte ^ (1 << RANDOM % 8))))" |
        dd of="$1" bs=1 seek=$place conv=notrunc status=none
}
cut_short() { truncate --size=$(((RANDOM * 32768 + RANDOM) % $(stat --format %s "$1"))) "$1"; }

for ((time = 1; time <= times; time++)); do
    names=(model optim scheduler) damages=(flip_a_bit cut_short)
    name=${names[time % 3]} damage=${damages[RANDOM % 2]}
    restore
    "$damage" "$folder/$checkpoints/$name-3.bpk"
    ends_the_same "$damage $name-3.bpk"
    restore
    for epoch in 2 3; do "$damage" "$folder/$checkpoints/$name-$epoch.bpk"; done
    is_refused "$damage $name-2.bpk and $name-3.bpk"
done

restore
for name in model optim scheduler; do
    mv "$folder/$checkpoints/$name-3.bpk" "$folder/$checkpoints/unfinished-$name-3.bpk"
done
ends_the_same "the last checkpoint unfinished"

# A limit to the size of files meets what a full disk meets: a write that fails half-way.
restore
rm "$folder/$checkpoints/"*-3.*
if (trap '' XFSZ && ulimit -f 2000 && run --resume); then
    echo "a full disk: it ends as if all had been written" && exit 1
fi
grep -qi 'too large' "$folder/output" || { cat "$folder/output" && exit 1; }
ends_the_same "a full disk, and then a larger one"
