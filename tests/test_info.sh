#!/bin/sh
# test_info.sh - `sdgen info` and `sdgen rerun` from outside: what they print for pictures of every program, and
# that a picture drawn again is the same, file for file. Prints TAP.
set -u
: "${SDGEN:=./sdgen}" "${TOP:=.}"
pictures=$TOP/tests/golden/infotext
demo=$TOP/models/data/sdgen-emoji.safetensors
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export XDG_CACHE_HOME="$tmp/cache" LC_ALL=C
number=0
# shellcheck source=tests/support/tap.sh
. "$TOP/tests/support/tap.sh"
# prints PICTURE LINE [PATTERN...]: rerun --print prints the line, and says the rest on stderr
prints() {
    picture=$1 line=$2 good=0
    shift 2
    run rerun --print "$pictures/$picture"
    [ "$(cat "$tmp/out")" = "$line" ] || good=1
    for pattern; do grep -q -e "$pattern" "$tmp/err" || good=1; done
    ok $good "$picture as a command line"
}

# ---- info ----

run info "$pictures/a1111_06.png"; status=$?
says 0 "info names the program and every value" "PNG, 8x8, made by A1111" "^Steps  *124$" "^Sampler  *LMS$" \
    "^Seed  *2167757907$" "^Model hash  *45dee52b$" "Not known to sdgen:" "^Hires resize-1  *1024$" "^TI hashes  *emb: 00ff$"
run info --json "$pictures/a1111_06.png"; status=$?
says 0 "--json: numbers are numbers" '"Seed":.*2167757907,' '"Sampler":.*"LMS"' '"name":.*"TI hashes"' '"program":.*"A1111"'
run info --raw "$pictures/invokeai_24.png"; status=$?
says 0 "--raw: the text as it is" '^"a cat on a mat.*" -s '
bad=0
for picture in "$pictures"/*.png "$pictures"/*.jpeg "$pictures"/*.webp "$pictures"/*.gif; do
    run info "$picture" || { bad=1; break; }
done
ok $bad "info reads every picture"
run info "$demo"; status=$?
says 1 "a file that is no picture" "no picture that sdgen knows"
run info "$tmp/none.png"; status=$?
says 1 "a file that is not there" "none.png"
run info; status=$?
says 2 "no picture named" "name a picture"
printf '\211PNG\r\n\032\n\0\0\0\0IEND\256B`\202' >"$tmp/empty.png"
run info "$tmp/empty.png"; status=$?
says 1 "a picture without a text" "says nothing about how it was made"
# A GIF whose comment holds what a terminal would obey: ESC, BEL, and U+009B, which begins a sequence alone.
{
    printf 'GIF89a\10\0\10\0\0\0\0!\376\110'
    printf 'cat \033[2J\007\302\2332J\177\nSteps: 2, Sampler: Euler, Seed: 1, Model: \033c, Size: 64x64'
    printf '\0;'
} >"$tmp/steers.gif"
steers() { LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177]\|\302\233')" "$@"; }
bad=0
for how in info "info --json" "rerun --print"; do
    # shellcheck disable=SC2086
    run $how "$tmp/steers.gif" || bad=1
    grep -q "^sdgen\|Euler" "$tmp/out" || bad=1
    if steers "$tmp/out" "$tmp/err"; then bad=1; fi
done
ok $bad "no control character of a picture reaches the terminal"
head -c 150 "$pictures/a1111_00.png" >"$tmp/cut.png"
run info "$tmp/cut.png"; status=$?
says 1 "a cut picture is refused in one line" "does not end before the file does"
[ "$(wc -l <"$tmp/err")" -eq 1 ]; ok $? "and nothing else"

# ---- rerun: what it means ----

prints a1111_06.png "sdgen generate '--prompt=a [cat|dog] BREAK sea' '--negative-prompt=$(printf '\303\274')ber' \
--sampling-method=LMS --steps=124 --scheduler=Beta --cfg-scale=1 --width=1056 --height=1728 --seed=2167757907" \
    "not honoured: Hires resize-1: 1024" "not honoured: TI hashes: emb: 00ff" "not honoured: VAE hash" "hash 45dee52b"
prints forge_03.png "sdgen generate '--prompt=(best quality:1.2), [from:to:0.5], a ((cat))' \
'--negative-prompt=bad hands, (worst:1.3)' --emphasis=no-norm --rng=cpu '--sampling-method=DPM++ SDE' --steps=123 \
'--scheduler=SGM Uniform' --cfg-scale=7.0 --width=1424 --height=416 --eta=0.5 --seed=1736404157" \
    "not honoured: Distilled CFG Scale: 3.5" "not honoured: Hires steps: 10"
prints comfyui_05.png "sdgen generate '--prompt=Steps: 3, not the parameters' \
'--negative-prompt=Negative prompt: again' --like=comfyui --sampling-method=uni_pc --steps=2 --scheduler=karras \
--cfg-scale=7 --width=632 --height=64 --sigma-min=0.0291675 --sigma-max=14.614642 --rho=7 --cfg-rescale=0.7 \
--seed=1458817023001980571" "not honoured: LoraLoader.lora_name: thing.safetensors"
prints comfyui_07.png "sdgen generate '--prompt=quote \" and \\ and '\\''x'\\''' --like=comfyui --sampling-method=heunpp2 \
--steps=35 --scheduler=sgm_uniform --cfg-scale=8 --width=944 --height=888 --seed=8736675194177265842" \
    "not honoured: ConditioningCombine" "not honoured: CLIPTextEncode.text: second, part"
prints invokeai_05.png "sdgen generate '--prompt=Steps: 3, not the parameters' '--negative-prompt=Negative prompt: again' \
--like=diffusers --prompt-language=compel --clip-skip=2 --rng=cpu --sampling-method=lms --steps=64 --cfg-scale=3.25 \
--width=344 --height=760 --cfg-rescale=0.25 --seed=2738097558" "not honoured: loras.0..model.name: thing"
prints invokeai_25.png "sdgen generate '--prompt=sea, $(printf '\303\274')ber all' --like=diffusers \
--prompt-language=compel --sampling-method=k_lms --steps=42 --cfg-scale=5.0 --width=392 --height=392 --seed=523401844" \
    "not honoured: G: 0.8"
prints sdcpp_05.png "sdgen generate '--prompt=Steps: 3, not the parameters' '--negative-prompt=Negative prompt: again' \
--like=sd.cpp --rng=cuda --sampling-method=ipndm_v --sigmas=14.6146,7.8000,2.5000,0.0000 --cfg-scale=4.500000 \
--width=640 --height=704 --seed=1010269600"
prints sdcpp_20.png "sdgen generate '--prompt=a [cat|dog] BREAK sea' '--negative-prompt=$(printf '\303\274')ber' \
--like=sd.cpp --rng=cuda --sampling-method=ddim_trailing --steps=6 --scheduler=discrete --cfg-scale=7 --width=384 \
--height=448 --eta=0 --seed=276772820"
prints novelai_0.png "sdgen generate '--prompt=a {cat}' '--negative-prompt=lowres, bad' --clip-skip=2 \
--sampling-method=k_euler_ancestral --steps=28 --cfg-scale=11 --width=8 --height=8 --ensd=31337 --seed=123456789" \
    "not honoured: noise: 0.2"

# Every value that generate cannot be told is reported: names of unknown values, one by one.
missing=0
for picture in "$pictures"/a1111_*.png "$pictures"/forge_*.png; do
    run rerun --print "$picture"
    cp "$tmp/err" "$tmp/said"
    run info "$picture"
    sed -n '/^Not known/,$p' "$tmp/out" | sed -n 's/^\([A-Za-z][A-Za-z0-9 -]*[A-Za-z0-9]\)   *.*/\1/p' |
        grep -v -e '^User$' -e '^App$' -e '^Hashes$' >"$tmp/names"
    while read -r name; do
        grep -q -e "not honoured: $name:" "$tmp/said" || missing=$((missing + 1))
    done <"$tmp/names"
done
ok $missing "every unknown value of A1111's and Forge's pictures is reported"

run rerun --print --steps 7 -s 5 --sampler "DPM++ 2M" "$pictures/a1111_06.png"; status=$?
says 0 "options given win" "--steps 7 -s 5 --sampler 'DPM++ 2M'$"
grep -q -e "--steps=" -e "--seed=" -e "--sampling-method=" "$tmp/out"; ok $((1 - $?)) "and the picture's are left out"
run rerun "$pictures/a1111_06.png"; status=$?
says 2 "without a model it asks for one" "drawn with sub_folder_model (hash 45dee52b)" "--model-dir"
run rerun --setps 3 "$pictures/a1111_06.png"; status=$?
says 2 "a misspelt option is found" "no option --setps; the nearest is --steps"
run rerun; status=$?
says 2 "no picture named to rerun" "name a picture"

# ---- rerun: the same picture ----

draw() { run generate -m "$demo" -q --steps 2 -W 64 -H 64 "$@"; }
# again TEXT OPTION...: draws with the options, then again from the picture's text alone
again() {
    text=$1
    shift
    rm -f "$tmp/first.png" "$tmp/second.png"
    draw -o "$tmp/first.png" "$@" && run rerun -q --model-dir "$tmp/models" -o "$tmp/second.png" "$tmp/first.png" &&
        cmp -s "$tmp/first.png" "$tmp/second.png" && [ ! -s "$tmp/err" ]
    ok $? "drawn again, the same file: $text"
}
mkdir -p "$tmp/models/deep/er"
cp "$demo" "$tmp/models/deep/er/renamed.safetensors"
head -c 3000 /dev/zero >"$tmp/models/other.safetensors"
draw -o "$tmp/a.png" -p "a fox" -s 42
run rerun --model-dir "$tmp/models" -v -o "$tmp/b.png" "$tmp/a.png"; status=$?
says 0 "the model is found by its hash under another name" "looking for"
run rerun --model-dir "$tmp/models" -o "$tmp/c.png" "$tmp/a.png"
grep -q "looking for" "$tmp/err"; ok $((1 - $?)) "the second time its hash is remembered"
run rerun -m "$tmp/models/other.safetensors" -o "$tmp/d.png" "$tmp/a.png"; status=$?
says 1 "another model is named as such" "is not the one of the picture"
run rerun --model-dir "$tmp/cache" -o "$tmp/d.png" "$tmp/a.png"; status=$?
says 1 "a folder without the model" "in none of the folders"
rm -rf "$tmp/models/deep"
cp "$demo" "$tmp/models/sdgen-emoji.safetensors"

again "a prompt" -p "a fox on a blue background" -s 7
again "weights, editing, two lines" -p "a (fox:1.2) [red|blue]
[a:b:1]" -n "((ugly))" -s 8 --cfg-scale 4.5
again "sampler, schedule, churn" -p "a fox" -s 9 --sampler Heun --scheduler karras --s-churn 1 --rho 5
again "ancestral noise, eta, ENSD" -p "a fox" -s 10 --sampler "DPM++ 2S a" --eta 0.5 --ensd 31337
again "variation and seed resize" -p "a fox" -s 11 --variation-seed 5 --variation-strength 0.3 --seed-resize 32x32
again "UniPC with its options" -p "a fox" -s 12 --sampler unipc --solver-order 2 --lower-order-final off
again "a list of levels" -p "a fox" -s 13 --sampler euler --sigmas 14.6,7.5,0 --steps 2
again "tiles" -p "a fox" -s 15 -W 192 -H 128 --vae-tiling --vae-tile-size 96x64 --vae-tile-overlap 0.5
again "guidance" -p "a fox" -s 14 --cfg-rescale 0.7 --guidance-end 0.6 --skip-early-cfg 0.1
again "diffusers" -p "a (fox)" -s 15 --like diffusers --sampler ddim --clip-skip 1
again "ComfyUI" -p "a (fox:1.3)" -s 16 --like comfyui --sampler dpmpp_2m
again "stable-diffusion.cpp" -p "a (fox:1.3)" -s 17 --like sd.cpp --sampler "dpm++2m"
again "plain text, noise of a CPU" -p "a (fox) [x" -s 18 --literal --rng cpu

draw -o "$tmp/part.png" -p "a fox" -s 19 --clip-l "$demo"
run rerun --print -m "$demo" "$tmp/part.png"; status=$?
says 0 "a network from a file of its own is named" "not honoured: CLIP-L: sdgen-emoji"
run rerun --print -m "$demo" --clip-l "$demo" "$tmp/part.png"; status=$?
grep -q "not honoured" "$tmp/err" && status=1
says 0 "and given again" "--clip-l"
mkdir -p "$tmp/folder" && ln -sf "$(cd "$(dirname "$demo")" && pwd)/sdgen-emoji.safetensors" "$tmp/folder/"
run generate -m "$tmp/folder/" -q --steps 1 -W 64 -H 64 -p "a fox" -o "$tmp/folder.png"; run info --raw "$tmp/folder.png"
status=$?
says 0 "a folder has a name, with a slash behind it too" "Model: folder,"

rm -f "$tmp"/batch*.png "$tmp"/again*.png
draw -o "$tmp/batch-%d.png" -p "a fox" -s 20 -b 3 --batch-size 3 --batch-noise joint
run rerun --model-dir "$tmp/models" -o "$tmp/again-%d.png" "$tmp/batch-2.png"
status=$?
cmp -s "$tmp/batch-2.png" "$tmp/again-2.png" || status=1
says 0 "a batch with joint noise is drawn whole" "number 2 of it"
echo "1..$number"
