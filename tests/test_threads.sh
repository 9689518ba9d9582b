#!/bin/sh
# test_threads.sh - the same picture from any number of threads, bound to cores or not, in the
# environments that OpenMP programs meet, and with packed weights from a cache. Prints TAP.
: "${TOP:=$(pwd)}" "${SDGEN:=$TOP/build/sdgen}"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C
unset SDGEN_ISA SDGEN_THREADS
model=$TOP/models/data/sdgen-emoji.safetensors
n=0

ok() { # ok STATUS TEXT
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        sed 's/^/# /' "$tmp/out"
    fi
}
# draw FILE ARGUMENT...
draw() {
    file=$1
    shift
    "$SDGEN" -m "$model" -p fox -s 5 --steps 1 -W 64 -H 64 --progress none -o "$tmp/$file" --overwrite -v "$@" \
        >"$tmp/out" 2>&1
}
# same TEXT ARGUMENT...: draws the picture of one thread
same() {
    text=$1
    shift
    rm -f "$tmp/have.png"
    draw have.png "$@" && cmp -s "$tmp/have.png" "$tmp/want.png"
    ok $? "$text"
}
said() { # said WORDS: in the last run
    grep -qF -e "$1" "$tmp/out"
    ok $? "said: $1"
}

draw want.png -t 1
ok $? "one thread"
for t in 2 5 16 64; do same "$t threads" -t "$t"; done
same "bound to cores" --pin
same "bound to cores, more threads than those" --pin -t 7
OMP_NUM_THREADS=1 same "OMP_NUM_THREADS=1" -t 4
OMP_THREAD_LIMIT=1 same "OMP_THREAD_LIMIT=1" -t 4
OMP_THREAD_LIMIT=2 same "OMP_THREAD_LIMIT=2 and bound" -t 4 --pin
OMP_DYNAMIC=true same "OMP_DYNAMIC=true" -t 4
OMP_PROC_BIND=true same "OMP_PROC_BIND=true, and bound otherwise" -t 3 --pin
GOMP_CPU_AFFINITY=0 same "GOMP_CPU_AFFINITY=0" -t 2

# ---- packed weights in a file
same "a cache for the first time" --cache "$tmp/cache"
said "MiB written to $tmp/cache/"
same "a cache again" --cache="$tmp/cache" -t 3
said "MiB from $tmp/cache/"
draw other.png --cache "$tmp/cache" --exact-conv
ok $? "another way of computing"
said "MiB written to"
XDG_CACHE_HOME=$tmp/home same "the user's own cache" --cache
said "MiB written to $tmp/home/sdgen/packs/"
XDG_CACHE_HOME=$tmp/home same "and again, before another option" --cache -t 2
said "MiB from $tmp/home/sdgen/packs/"
same "no place for a cache" --cache "$model/below"
said "packed weights are not kept"
for file in "$tmp"/cache/*-exact.packs; do
    case $file in *'*'*) false ;; esac
    ok $? "one file for each way"
done
echo "1..$n"
