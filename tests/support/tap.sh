# tap.sh - what tests of the program from outside share; sourced, with $SDGEN, $tmp and a $number of 0. Prints TAP.

ok() { # ok STATUS TEXT
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else
        echo "not ok $number - $2"
        sed 's/^/# /' "$tmp/out" "$tmp/err"
    fi
}

run() { "$SDGEN" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null; }

# says STATUS TEXT PATTERN...: the last run, of exit status $status, ended with STATUS and every pattern is in what it
# printed
says() {
    want=$1 text=$2 good=0
    shift 2
    [ "$status" -eq "$want" ] || good=1
    for pattern; do grep -q -e "$pattern" "$tmp/out" "$tmp/err" || good=1; done
    ok $good "$text"
}
