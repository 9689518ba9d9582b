#!/bin/sh
# goldens.sh - remakes tests/golden with the original libraries: runs every tools/golden_*.py.
#
#   sh tools/goldens.sh [NAME...]      NAME picks golden_NAME.py
set -u
cd "$(dirname "$0")/.." || exit 1
python=$(sh tools/venv.sh | tail -n 1)
[ -x "$python" ] || exit 1
failed=0
for script in tools/golden_*.py; do
    name=$(basename "$script" .py)
    case " ${*:-${name#golden_}} " in
    *" ${name#golden_} "*) ;;
    *) continue ;;
    esac
    echo "goldens: $script"
    "$python" "$script" || {
        echo "goldens: $script FAILED"
        failed=1
    }
done
exit "$failed"
