#!/bin/sh
# demo.sh - from a bare system to a picture: installs what is missing, builds, draws, names the file.
#
#   sh tools/demo.sh ["a fox on a blue background"]
#
# The bundled model knows 106 emoji on twelve background colours; README.md lists them.
set -eu
cd "$(dirname "$0")/.."
if [ $# -gt 1 ]; then
    echo 'demo: one prompt, in quotes: sh tools/demo.sh "an owl on a yellow background"' >&2
    exit 2
fi
sh tools/setup.sh build
jobs=$(nproc 2>/dev/null || echo 1)
make -s -j"$jobs" all
# The prompt travels in the environment: neither make nor a shell ever parses it.
PROMPT=${1:-"a fox on a blue background"} exec make -s demo
