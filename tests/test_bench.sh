#!/bin/sh
# test_bench.sh - `sdgen bench` at sizes that take no time: its files, what a comparison says, and that its lists
# of operations are those of the networks. Judges no speed. Prints TAP.
set -u
: "${TOP:=$(pwd)}" "${SDGEN:=$TOP/build/sdgen}"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C
number=0

ok() { # ok STATUS TEXT
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else
        echo "not ok $number - $2"
        sed 's/^/# /' "$tmp/out" "$tmp/err"
    fi
}
run() { "$SDGEN" bench -t 1 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null; }
# says STATUS TEXT PATTERN...: the last run ended with STATUS and every pattern is in what it printed
says() {
    want=$1 text=$2 good=0
    shift 2
    [ "$status" -eq "$want" ] || good=1
    for pattern; do grep -q -e "$pattern" "$tmp/out" "$tmp/err" || good=1; done
    ok $good "$text"
}

# ---- what it shows

run --peaks; status=$?
says 0 "--peaks: the tier and the memory" "^tier .* 1 thread" "^reading memory .* GB/s" "^OpenBLAS: "
run --isa c --precision f32 --quick --rounds 3 --json "$tmp/a.json" --svg "$tmp/a.svg" --unpacked "linear 2x1 320"
status=$?
says 0 "a line of one operation, packed and unpacked" "^linear 2x1 320->1280  *1 .* %.* % .*" "unpacked" \
    "^  sum of the lines above  *100.0 %"
grep -q '"isa":.*"c"' "$tmp/a.json" && grep -q '"name":.*"linear 2x1 320->1280"' "$tmp/a.json" &&
    grep -q '"flops":.*1638400,' "$tmp/a.json" && grep -q '"unpacked_seconds":.*\[' "$tmp/a.json" &&
    grep -q '"precision":.*"f32"' "$tmp/a.json"
ok $? "--json: what was measured and how"
[ "$(sed -n 's/.*"seconds":.*\[\(.*\)\].*/\1/p' "$tmp/a.json" | head -n 1 | tr ',' '\n' | grep -c .)" -eq 3 ]
ok $? "--json: a time for each round"
head -n 1 "$tmp/a.svg" | grep -q '^<svg ' && tail -n 1 "$tmp/a.svg" | grep -q '^</svg>' &&
    [ "$(grep -c '^<circle .*linear 2x1 320->1280' "$tmp/a.svg")" -eq 1 ]
ok $? "--svg: a dot for the operation"
run --isa c --precision f32 --rounds 1 --network sdxl-vae "groupnorm 1x16384 512"; status=$?
says 0 "other networks, and what is no matrix product" "^SDXL VAE decoder" "^groupnorm 1x16384 512 "
run --isa c --precision f32 --rounds 1 --network sdxl-unet "linear 2x1 2816"; status=$?
says 0 "SDXL: the vector beside the timestep" "^SDXL UNet, 2 x 1024 x 1024" "^linear 2x1 2816->1280  *1 "
run --isa c --precision f32 --rounds 1 --network sd21 "linear 2x1 1280->320"; status=$?
says 0 "SD2.1 at its own size" "^SD2.1 UNet, 2 x 768 x 768" "^linear 2x1 1280->320  *5 "
run --isa c --precision bf16 --rounds 1 --tune "conv norm add 2x8x8 1280->1280"; status=$?
says 0 "--tune: a row for the table" "{8, 1280, 1280, [a-z0-9_]*}"

# ---- comparisons, with times that were written by hand

like() { # like SECONDS FILE: the JSON of above with other times
    sed "s/\"seconds\":.*\]/\"seconds\": [$1, $1, $1]/" "$tmp/a.json" >"$2"
}
again() { run --isa c --precision f32 --quick --rounds 3 --compare "$1" "linear 2x1 320"; }
like 1e-9 "$tmp/fast.json"
again "$tmp/fast.json"; status=$?
says 1 "--compare: slower is exit status 1" "^linear 2x1 320->1280 .*SLOWER" "a heavy shape has become slower"
like 1000 "$tmp/slow.json"
again "$tmp/slow.json"; status=$?
says 0 "--compare: faster" "^linear 2x1 320->1280 .*faster" "no heavy shape has become slower"
sed 's/"seconds":.*\]/"seconds": [1e-9, 1, 1000]/; s/"peak":.*\]/"peak": [1e9, 1e9, 1e9]/' "$tmp/a.json" >"$tmp/noisy.json"
again "$tmp/noisy.json"; status=$?
says 0 "--compare: within the noise" "^linear 2x1 320->1280 .*same"
sed 's/"threads":.*/"threads": 3,/' "$tmp/a.json" >"$tmp/other.json"
again "$tmp/other.json"; status=$?
says 2 "--compare: other conditions" "measured with c, 3 threads, f32; this run has c, 1 threads, f32"
echo '{"networks": [' >"$tmp/broken.json"
again "$tmp/broken.json"; status=$?
says 1 "--compare: a broken file" "broken.json: not a file of sdgen bench"
again "$tmp/none.json"; status=$?
says 1 "--compare: no file" "none.json: No such file"

# ---- times of peers

echo '{"threads": 1, "precision": "f32", "onednn": {"linear 2x1 320->1280": 0.5}}' >"$tmp/peer.json"
run --isa c --precision f32 --rounds 1 --with "$tmp/peer.json" "linear 2x1 320"; status=$?
says 0 "--with: a column of its own" "oneDNN$" "^linear 2x1 320->1280 .* 0.0$"
run --isa c --precision bf16 --rounds 1 --with "$tmp/peer.json" "linear 2x1 320"; status=$?
says 2 "--with: another precision" "measured with f32 and 1 threads, this run has bf16 and 1"

# ---- the lists are those of the networks: a dry run of the demo model counts the same multiply-adds

run -m "$TOP/models/data/sdgen-emoji.safetensors" --precision f32 --size 64 --steps 1 --rounds 1 --json "$tmp/m.json"
status=$?
says 0 "-m: operations, networks and a picture" "^UNet, 2 x 64 x 64" "^VAE decoder, 64 x 64" "^UNet .* gap " \
    "^picture 64x64, 1 steps: load "
awk '/"multiply_adds"/ { whole = $2 } /"listed_multiply_adds"/ { n++; if (n > 2 && $2 != whole) bad = 1 }
    END { exit !(n == 4 && !bad) }' "$tmp/m.json"
ok $? "every multiply-add of the UNet and of the decoder is on the list"

# ---- what is refused

run --network sd14; status=$?
says 2 "an unknown network" "there are sd15, sd21 and sdxl"
run "no such line"; status=$?
says 2 "a pattern that fits nothing" 'no operation has "no such line" in its name'
run -m "$tmp/none.safetensors"; status=$?
says 1 "a checkpoint that is not there" "none.safetensors"
run --rounds 0; status=$?
says 2 "--rounds 0" "must be a whole number from 1 to 31"

echo "1..$number"
