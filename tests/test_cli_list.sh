#!/bin/sh
# test_cli_list.sh - sdgen list: names and properties, as a table and as JSON. Needs no model. Prints TAP.
: "${TOP:=$(pwd)}" "${SDGEN:=$TOP/build/sdgen}"
export LC_ALL=C
n=0
check() {
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
dir=$(mktemp -d "${TMPDIR:-/tmp}/sdgen-list.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

$SDGEN list samplers > "$dir/samplers"
check $? "list samplers"
grep -q '^dpmpp_2m  *2  *1  *no  karras ' "$dir/samplers"
check $? "a row: name, order, model calls, noise, A1111's default schedule"
grep -q 'also called .*DPMSolverMultistepScheduler' "$dir/samplers"
check $? "other spellings"
$SDGEN list schedulers > "$dir/schedulers"
check $? "list schedulers"
grep -q '^kl_optimal  *KL Optimal  *yes  *-  *yes  *yes$' "$dir/schedulers"
check $? "a row: name, label, the programs that have it"
for what in samplers schedulers; do
    $SDGEN list $what --json > "$dir/json"
    check $? "list $what --json"
    [ "$(grep -c '"label":' "$dir/json")" -ge 20 ]
    check $? "list $what --json holds a list"
done
for name in $(sed -n '2,$s/^\([a-z][a-z0-9_]*\)  *[A-Z].*/\1/p' "$dir/schedulers"); do
    grep -q "\"$name\"" "$dir/json" || echo "$name"
done > "$dir/missing"
[ ! -s "$dir/missing" ]
check $? "every schedule of the table is in the JSON"
$SDGEN list > "$dir/out" 2> "$dir/err"
[ $? -eq 2 ] && grep -q 'samplers or schedulers' "$dir/err"
check $? "list alone: says what may be listed, exit 2"
$SDGEN list colours > "$dir/out" 2> "$dir/err"
[ $? -eq 2 ] && [ "$(wc -l < "$dir/err")" -eq 1 ]
check $? "an unknown list is refused in one line"
echo "1..$n"
