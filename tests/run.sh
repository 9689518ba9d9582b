#!/bin/sh
# run.sh - runs every producer of TAP lines and counts: tools/lint.sh, the unit tests and the kernel
# harness in $BUILD, and the scripts tests/*.sh. `make check` calls it.
#
#   BUILD=build SDGEN=build/sdgen sh tests/run.sh [NAME...]     only producers whose name contains a NAME
#
# A line "ok ..." passes, "not ok ..." fails, "ok ... # SKIP why" is skipped. A producer also fails when
# it exits with an error or dies while all its lines pass, when it prints fewer or more lines than its
# plan "1..N" says, and when it prints none at all. What failed is shown in full. The last line is
# "N passed, N failed, N skipped"; the status is 0 only if something passed and nothing failed.
#
# Scripts find in the environment: $SDGEN the program, $BUILD the build folder, $TOP the root of the
# repository (all absolute), $CC the compiler, and $EMULATOR, under which programs of another processor
# run ($SDGEN is already wrapped in it).
set -u
cd "$(dirname "$0")/.." || exit 1
TOP=$(pwd)
absolute() { case $1 in /*) echo "$1" ;; *) echo "$TOP/$1" ;; esac; }
BUILD=$(absolute "${BUILD:-build}")
SDGEN=$(absolute "${SDGEN:-$BUILD/sdgen}")
EMULATOR=${EMULATOR:-}
CC=${CC:-cc}
CMOCKA_MESSAGE_OUTPUT=TAP
# Threads that wait leave the processor to others: tests of small models on a busy machine would spin away.
OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export OMP_WAIT_POLICY TOP BUILD SDGEN EMULATOR CC CMOCKA_MESSAGE_OUTPUT

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# Tests leave nothing behind, not even hashes remembered in the user's cache.
TMPDIR=$work/tmp XDG_CACHE_HOME=$work/cache
export TMPDIR XDG_CACHE_HOME
mkdir "$TMPDIR" "$XDG_CACHE_HOME"

if [ -n "$EMULATOR" ]; then
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$EMULATOR" "$SDGEN" >"$work/sdgen"
    chmod +x "$work/sdgen"
    SDGEN=$work/sdgen
fi

passed=0 failed=0 skipped=0
list() {
    echo "$TOP/tools/lint.sh"
    [ -f "$TOP/tests/check.c" ] && echo "$BUILD/check"
    for file in tests/test_*.c; do
        [ -f "$file" ] && echo "$BUILD/${file%.c}"
    done
    for file in "$TOP"/tests/*.sh; do
        [ "$file" != "$TOP/tests/run.sh" ] && echo "$file"
    done
}
wanted() {
    name=$1
    shift
    [ $# -eq 0 ] && return 0
    for part in "$@"; do
        case $name in *"$part"*) return 0 ;; esac
    done
    return 1
}

# Counts the TAP lines of $work/out: "passed failed skipped problem".
count() {
    awk -v status="$1" '
        /^not ok/                        { if (toupper($0) ~ /# *SKIP/) s++; else f++; n++; next }
        /^ok/                            { if (toupper($0) ~ /# *SKIP/) s++; else p++; n++; next }
        /^1\.\.[0-9]+/                   { plan += substr($1, 4) } # one per group of tests
        END {
            problem = ""
            if (n == 0) problem = "printed no test line"
            else if (plan == "") problem = "printed no plan"
            else if (plan != n) problem = "planned " plan " tests but printed " n
            if (status >= 128) problem = "died of signal " status - 128
            else if (status != 0 && f == 0 && problem == "") problem = "ended with status " status
            if (problem != "") f++
            print p + 0, f + 0, s + 0, problem
        }' "$work/out"
}

run_one() {
    file=$1
    name=$(basename "$file")
    start=$(date +%s)
    case $file in
    *.sh) sh "$file" >"$work/out" 2>"$work/err" </dev/null ;;
    *) $EMULATOR "$file" >"$work/out" 2>"$work/err" </dev/null ;;
    esac
    set -- "$(count $?)"
    read -r p f s problem <<END
$1
END
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-28s %4d passed %3d failed %3d skipped  %4d s\n' "$name" "$p" "$f" "$s" \
        $(($(date +%s) - start))
    [ "$s" -gt 0 ] && grep -i '^\(not \)\{0,1\}ok.*# *skip' "$work/out" | sed 's/^/    /'
    if [ "$f" -gt 0 ]; then
        [ -n "$problem" ] && echo "    $name $problem"
        sed 's/^/    | /' "$work/out" "$work/err"
    fi
    return 0
}

list >"$work/list"
while read -r producer; do
    wanted "$(basename "$producer")" "$@" && run_one "$producer"
done <"$work/list"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
