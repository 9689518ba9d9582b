#!/bin/sh
# test_fuzz.sh - every fuzz target without libFuzzer (fuzz/plain.c): its seeds, and inputs made from them by chance.
# `make fuzz` runs the targets as they are meant to be.
set -u
cd "$TOP" || exit 1
runs=${FUZZ_RUNS:-10000}
number=0
failed=0
for source in tests/fuzz/fuzz_*.c; do
    target=$(basename "$source" .c | sed 's/^fuzz_//')
    number=$((number + 1))
    # shellcheck disable=SC2046 # the list is meant to be split
    if said=$($EMULATOR "$BUILD/tests/fuzz/plain_$target" "$runs" $(sh tests/fuzz/seeds.sh "$target") 2>&1); then
        echo "ok $number - fuzz target $target: $said"
    else
        failed=1
        [ -f "$TMPDIR/fuzz-input" ] && mv "$TMPDIR/fuzz-input" "$BUILD/fuzz-input-$target"
        echo "not ok $number - fuzz target $target (its input: $BUILD/fuzz-input-$target)"
        printf '%s\n' "$said" | tail -n 40 | sed 's/^/# /'
    fi
done
echo "1..$number"
exit $failed
