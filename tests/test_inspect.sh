#!/bin/sh
# test_inspect.sh - `sdgen inspect` from outside: the demo model, copies of it that are broken in known
# ways, and small files of other kinds. Prints TAP.
: "${SDGEN:=./sdgen}" "${TOP:=.}"
demo=$TOP/models/data/sdgen-emoji.safetensors
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export XDG_CACHE_HOME="$tmp/cache" LC_ALL=C
n=0

ok() { # ok STATUS TEXT
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        sed 's/^/# /' "$tmp/out" "$tmp/err"
    fi
}

inspect() { "$SDGEN" inspect "$@" >"$tmp/out" 2>"$tmp/err"; }

# says STATUS TEXT PATTERN...: the last run ended with STATUS and every pattern is in what it printed
says() {
    want=$1 text=$2 good=0
    shift 2
    [ "$status" -eq "$want" ] || good=1
    for pattern; do grep -q -e "$pattern" "$tmp/out" "$tmp/err" || good=1; done
    ok $good "$text"
}

# safetensors NAME SHAPE BYTES FILE: one tensor of zeros
safetensors() {
    header='{"'$1'":{"dtype":"F32","shape":'$2',"data_offsets":[0,'$3']}}'
    length=$(printf %s "$header" | wc -c)
    { printf "\\$(printf %o "$length")\\0\\0\\0\\0\\0\\0\\0"; printf %s "$header"; head -c "$3" /dev/zero; } >"$4"
}

inspect "$demo"; status=$?
says 0 "the demo model runs" "Stable Diffusion 1.x" "544 used, 0 missing, 0 mis-shaped, 0 unused" \
    "6,715,588" "11,053,735" "runs: give it with -m" "widths 64 128 128"
hash=$(sha256sum "$demo" | cut -c1-64)
says 0 "its SHA-256 and short hash are right" "SHA-256 *$hash\$" "model hash *$(echo "$hash" | cut -c1-10)\$"
old=$(tail -c +1048577 "$demo" | head -c 65536 | sha256sum | cut -c1-8)
header=$(od -A n -t u8 -N 8 "$demo" | tr -d ' ')
addnet=$(tail -c +$((header + 9)) "$demo" | sha256sum | cut -c1-12)
says 0 "the old hash and that of additional networks" "old hash *$old\$" "addnet hash *$addnet\$"
says 0 "licence, and the command that runs it" "licence *Apache-2.0" "run *sdgen -m $demo -p"
cp "$tmp/out" "$tmp/first"
inspect "$demo"; status=$?
cmp -s "$tmp/first" "$tmp/out"; ok $? "the second time, with the hash remembered, says the same"
inspect --no-hash "$demo"; status=$?
grep -q SHA-256 "$tmp/out"; ok $((1 - $?)) "--no-hash leaves it out"
inspect --scan "$demo"; status=$?
says 0 "--scan finds no NaN in it" "0 NaN, 0 infinite" "denormal" "0 tensors all zero"
inspect --json --scan "$demo"; status=$?
says 0 "--json" "\"sha256\":.*$hash" '"ok":.*true' '"nan":.*0' '"widths":.*64, 128, 128'

broken=$tmp/broken.safetensors
sed 's/time_embed\.0\.bias/time_embed.0.biaz/; s/conv_out\.bias/conv_oot.bias/g' "$demo" >"$broken"
inspect "$broken"; status=$?
says 1 "missing tensors are all named" "model.diffusion_model.time_embed.0.bias is missing (want \[256\])" \
    "first_stage_model.decoder.conv_out.bias is missing" "first_stage_model.encoder.conv_out.bias is missing" \
    "3 missing, 0 mis-shaped, 3 unused" "unused: model.diffusion_model.time_embed.0.biaz"
inspect --json "$broken"; status=$?
says 1 "and in JSON" '"ok":.*false' '"missing":.*{' 'time_embed.0.biaz'

# swap two names of the same length, so that each has the other's shape
sed 's/time_embed\.0\.weight/time_embed.9.weight/; s/time_embed\.2\.weight/time_embed.0.weight/
     s/time_embed\.9\.weight/time_embed.2.weight/' "$demo" >"$broken"
inspect "$broken"; status=$?
says 1 "mis-shaped tensors: wanted and found shape" \
    "time_embed.0.weight: want \[256,64\], the file has F16 \[256,256\]" "2 mis-shaped"

cp "$demo" "$broken"
size=$(wc -c <"$demo")
printf '\377\377\000\174' | dd of="$broken" bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
inspect --scan "$broken"; status=$?
says 1 "--scan counts a NaN and an infinity" "1 NaN, 1 infinite, in 1 tensors" "get the file anew"
inspect "$broken"; status=$?
says 0 "without --scan they are not seen"

sed 's/first_stage_model\./first_stage_madel./g' "$demo" >"$tmp/novae.safetensors"
inspect "$tmp/novae.safetensors"; status=$?
says 3 "a checkpoint without its VAE can be helped" "verdict *repairable" "run *sdgen -m $tmp/novae.safetensors --vae VAE"

cp "$demo" "$tmp/a file's name.safetensors"
inspect --no-hash "$tmp/a file's name.safetensors"; status=$?
command=$(sed -n 's/^  run *//p' "$tmp/out" | sed 's/^sdgen //')
eval "set -- $command"; [ "$2" = "$tmp/a file's name.safetensors" ]; ok $? "the command can be copied, whatever the name"

zeros() { # zeros TENSOR...: tensors of 16384 floats, all zero
    header=$(printf '{'; at=0; for t; do
        printf '%s"%s":{"dtype":"F32","shape":[16384],"data_offsets":[%d,%d]}' "$([ $at -gt 0 ] && echo ,)" "$t" $at $((at + 65536))
        at=$((at + 65536)); done; printf '}')
    length=$(printf %s "$header" | wc -c)
    { printf "\\$(printf %o $((length % 256)))\\$(printf %o $((length / 256)))\\0\\0\\0\\0\\0\\0"
      printf %s "$header"; head -c $((65536 * $#)) /dev/zero; } >"$tmp/zeros"
}
zeros first second third
inspect --scan "$tmp/zeros"; status=$?
says 1 "tensors that are all zero, and copies of another one" "3 tensors all zero" "all zero: second" \
    "2 tensors, 0.1 MiB, are equal" "third is first"
inspect --scan --json "$tmp/zeros"; status=$?
says 1 "in JSON too" '"all_zero":.*first' '"duplicates":.*{' '"condition":.*refused'

zeros model.diffusion_model.out.2.weight model.diffusion_model.out.2.scale_weight
inspect "$tmp/zeros"; status=$?
says 1 "scaled 8-bit weights are refused, not read wrong" "8-bit numbers with scales beside them"

# ---- pickles ----
torch=$TOP/tests/golden/torch
inspect "$torch/leftovers.ckpt"; status=$?
says 1 "the names in a pickle, with what they are" "pickles *1, 484 operations" "tensor *torch._utils._rebuild_tensor_v2" \
    "inert *argparse.Namespace"
inspect --json "$torch/leftovers.ckpt"; status=$?
says 1 "in JSON" '"verdict":.*"inert"' '"module":.*"collections"' '"operations":'
printf 'cos\nsystem\n(S"touch %s"\ntR.' "$tmp/marker" >"$tmp/evil.ckpt"
inspect "$tmp/evil.ckpt"; status=$?
says 1 "what would run code is named, where it stands" "DANGEROUS" "os.system (.*byte 0)" "verdict *refused"
[ ! -e "$tmp/marker" ]; ok $? "and did not run"
inspect --json "$tmp/evil.ckpt"; status=$?
says 1 "in JSON too, though the file is refused" '"verdict":.*"dangerous"' '"module":.*"os"' '"error":'

head -c 1000000 "$demo" >"$broken"
inspect "$broken"; status=$?
says 1 "a truncated file is refused in one line" "$broken"
[ "$(wc -l <"$tmp/err")" -eq 1 ] && [ ! -s "$tmp/out" ]; ok $? "on stderr, and nothing else is printed"

inspect --json "$broken"; status=$?
says 1 "in JSON too, where JSON is asked for" '"ok":.*false' '"error":.*broken'

safetensors x.lora_down.weight '[1,2]' 8 "$tmp/lora"
inspect "$tmp/lora"; status=$?
says 1 "a LoRA is told and refused by name" "this is a LoRA, which sdgen does not run yet"
safetensors whatever '[3]' 12 "$tmp/one"
inspect -v "$tmp/one"; status=$?
says 1 "a single tensor is taken for an embedding" "embedding"
safetensors 'a\u001b[31mb' '[3]' 12 "$tmp/escape"
inspect "$tmp/escape"; status=$?
grep -q "$(printf '\033')" "$tmp/out" "$tmp/err"; ok $((1 - $?)) "no escape sequence of a name reaches the terminal"

inspect; status=$?
says 2 "no file: usage" "name a weight file"
inspect --frobnicate "$demo"; status=$?
says 2 "unknown option" "no option --frobnicate"
inspect "$demo" "$demo"; status=$?
says 2 "one file at a time" "one FILE at a time"
mkdir "$tmp/empty"; inspect "$tmp/empty"; status=$?
says 1 "an empty folder is refused" "neither a model"
inspect "$tmp/none"; status=$?
says 1 "a file that is not there" "No such file"
inspect --help; status=$?
says 0 "--help" "usage: sdgen inspect"
"$SDGEN" inspect "$demo" >/dev/full 2>"$tmp/err"; status=$?
says 1 "a full disk under the report is an error" "cannot write"
echo "1..$n"
