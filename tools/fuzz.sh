#!/bin/sh
# fuzz.sh - runs the fuzz targets that `make fuzz` built, or those named in FUZZ_TARGETS, each for FUZZ_SECONDS (60) or
# FUZZ_RUNS inputs (without limit), whichever comes first, from its seeds (tests/fuzz/seeds.sh) and what earlier runs
# found. An input that crashes a target is kept and named.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/fuzz}
seconds=${FUZZ_SECONDS:-60}
failed=0
if [ -z "${FUZZ_TARGETS:-}" ]; then
    FUZZ_TARGETS=$(for source in tests/fuzz/fuzz_*.c; do basename "$source" .c | sed 's/^fuzz_//'; done)
fi
for target in $FUZZ_TARGETS; do
    name=fuzz_$target
    corpus=$BUILD/corpus/$name
    seeds=$BUILD/seeds/$name
    mkdir -p "$corpus" "$seeds" "$BUILD/found"
    sh tests/fuzz/seeds.sh "$target" | while read -r file; do cp "$file" "$seeds/"; done
    echo "fuzz: $target for $seconds s"
    "$BUILD/tests/fuzz/$name" -max_total_time="$seconds" -runs="${FUZZ_RUNS:--1}" -rss_limit_mb=1024 -malloc_limit_mb=256 \
        -timeout=20 -max_len=65536 -verbosity=0 -print_final_stats=1 -artifact_prefix="$BUILD/found/$name-" \
        "$corpus" "$seeds" >"$BUILD/$name.log" 2>&1
    status=$?
    grep -E 'stat::number_of_executed_units|stat::peak_rss_mb|stat::slowest_unit' "$BUILD/$name.log"
    if [ "$status" -ne 0 ]; then
        failed=1
        echo "fuzz: $target FAILED, input in $BUILD/found"
        tail -n 40 "$BUILD/$name.log"
    fi
done
exit "$failed"
