#!/bin/sh
# fuzz.sh - runs every fuzz target that `make fuzz` built for FUZZ_SECONDS (60), from the small files among
# the goldens and what earlier runs found. An input that crashes a target is kept and named.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/fuzz}
seconds=${FUZZ_SECONDS:-60}
failed=0
seeds=$BUILD/seeds
mkdir -p "$seeds"
find tests/golden -type f -size -64k -exec cp {} "$seeds"/ \;
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    corpus=$BUILD/corpus/$name
    mkdir -p "$corpus" "$BUILD/found"
    echo "fuzz: $name for $seconds s"
    "$BUILD/tests/fuzz/$name" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=20 \
        -max_len=65536 -verbosity=0 -print_final_stats=1 -artifact_prefix="$BUILD/found/$name-" \
        "$corpus" "$seeds" >"$BUILD/$name.log" 2>&1
    status=$?
    grep -E 'stat::number_of_executed_units|stat::peak_rss_mb' "$BUILD/$name.log"
    if [ "$status" -ne 0 ]; then
        failed=1
        echo "fuzz: $name FAILED, input in $BUILD/found"
        tail -n 40 "$BUILD/$name.log"
    fi
done
exit "$failed"
