#!/bin/sh
# check.sh - from a bare system to a verdict: installs what is missing, builds, runs every test. The last
# line is "N passed, N failed, N skipped"; the status is 0 only when nothing failed.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh check
jobs=$(nproc 2>/dev/null || echo 1)
make -s -j"$jobs" test-programs
exec make -s check
