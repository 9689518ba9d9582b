#!/bin/sh
# test_cli.sh - drawing from outside: names of files, prompt files, seeds, progress, signals, and everything
# that can go wrong with files, disks and sizes. Small pictures of the demo model. Prints TAP.
: "${TOP:=$(pwd)}" "${BUILD:=$TOP/build}" "${SDGEN:=$BUILD/sdgen}" "${CC:=cc}"
model=$TOP/models/data/sdgen-emoji.safetensors
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C
unset SDGEN_ISA SDGEN_THREADS
n=0

ok() { # ok STATUS TEXT
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        tail -n 20 "$tmp/out" "$tmp/err" | sed 's/^/# /'
    fi
}
skip() { n=$((n + 1)) && echo "ok $n - $1 # SKIP $2"; }
run() { "$SDGEN" "$@" >"$tmp/out" 2>"$tmp/err"; }

# draw ARGUMENT...: a small fox, in the folder $tmp/x
draw() { (cd "$tmp/x" && "$SDGEN" -m "$model" -p fox -W 64 -H 64 --steps 2 "$@") >"$tmp/out" 2>"$tmp/err"; }
clean() { rm -rf "$tmp/x" && mkdir "$tmp/x"; }
files() { ls -A "$tmp/x"; }
# holds NAME...: the folder holds these files and nothing else
holds() {
    for name; do echo "$name"; done | sort >"$tmp/want"
    files | sort | cmp -s - "$tmp/want"
}
printed() { printf '%s\n' "$@" | cmp -s - "$tmp/out"; }
seed_in() { grep -ao 'Seed: [0-9]*' "$1" | cut -c7-; }

# ---- names
clean
draw && printed output.png && holds output.png; ok $? "the name is output.png unless told otherwise"
cp "$tmp/x/output.png" "$tmp/first.png"
draw -q && printed output-1.png && holds output.png output-1.png && cmp -s "$tmp/x/output.png" "$tmp/first.png"
ok $? "nothing is overwritten: the next one is output-1.png"
[ ! -s "$tmp/err" ]; ok $? "-q says nothing"
draw -b 2 && printed output-2.png output-3.png; ok $? "several images get the next free numbers"
draw --overwrite && printed output.png && ! cmp -s "$tmp/x/output.png" "$tmp/first.png"; ok $? "--overwrite replaces"
clean
draw -b 3 -o 'a-%03d.png' && printed a-001.png a-002.png a-003.png; ok $? "%03d"
draw -b 2 -o 'a-%03d.png' && printed a-004.png a-005.png; ok $? "and on from there"
draw -o 'a-%d.png' && printed a-1.png; ok $? "%d"
draw -o '100%%.png' && printed 100%.png; ok $? "%%"
draw -b 2 -s 41 -o '{seed}.png' && printed 41.png 42.png && [ "$(seed_in "$tmp/x/42.png")" = 42 ]; ok $? "{seed}"
draw -s 41 -o '{seed}.png' && printed 41-1.png; ok $? "{seed} is not overwritten either"
draw -s 7 -b 2 --batch-size 2 -o 'b%d-{seed}.png' && printed b1-7.png b2-8.png; ok $? "both, two at a time"
draw -o plain && printed plain && head -c 4 "$tmp/x/plain" | grep -q PNG; ok $? "a name without extension"
draw -o "$tmp/x/.hidden" && draw -o "$tmp/x/.hidden" && printed "$tmp/x/.hidden-1"; ok $? "a name that is all extension"
touch "$tmp/x/new" && [ "$(stat -c %a "$tmp/x/plain")" = "$(stat -c %a "$tmp/x/new")" ]
ok $? "files have the permissions of any new file"

# ---- seeds
clean
draw; seed=$(sed -n 's/.*seed \([0-9]*\),.*/\1/p' "$tmp/err")
[ -n "$seed" ] && [ "$(seed_in "$tmp/x/output.png")" = "$seed" ]; ok $? "a random seed is shown and written down"
draw -s "$seed" -o again.png && cmp -s "$tmp/x/output.png" "$tmp/x/again.png"; ok $? "and gives the same file again"
draw -s -1 -o other.png; [ "$(seed_in "$tmp/x/other.png")" != "$seed" ]; ok $? "-s -1 draws another"
draw -s "$seed" -t 2 -o two.png && cmp -s "$tmp/x/output.png" "$tmp/x/two.png"; ok $? "two threads, the same file"
SDGEN_THREADS=1 draw -s "$seed" -o one.png && cmp -s "$tmp/x/output.png" "$tmp/x/one.png"; ok $? "SDGEN_THREADS=1 too"
(cd "$tmp/x" && "$SDGEN" --model "$model" --prompt fox --width 64 --height 64 --num-inference-steps 2 --guidance-scale 7 \
    --negative-prompt '' --num-images-per-prompt 1 --seed "$seed" --output names.png) >"$tmp/out" 2>"$tmp/err" &&
    cmp -s "$tmp/x/output.png" "$tmp/x/names.png"; ok $? "diffusers' names of options"
(cd "$tmp/x" && "$SDGEN" generate "-m$model" -pfox -W64 -H64 --steps=2 "-s$seed" -vo short.png) >"$tmp/out" 2>"$tmp/err" &&
    cmp -s "$tmp/x/output.png" "$tmp/x/short.png"; ok $? "values in the same word"

# ---- prompt files
clean
printf '\357\273\277fox\r\n\r\n \t\ncat on a blue background\nowl' >"$tmp/prompts"
run -m "$model" --prompt-file "$tmp/prompts" -W 64 -H 64 --steps 2 -s 5 -o "$tmp/x/p.png" && holds p-1.png p-2.png p-3.png; ok $? "a prompt a line; mark, carriage returns and empty lines are no prompts"
grep -aq 'fox$' "$tmp/x/p-1.png" && grep -aq 'cat on a blue background' "$tmp/x/p-2.png" && grep -aq owl "$tmp/x/p-3.png"
ok $? "each picture has its own prompt"
draw -p owl -s 5 -o owl.png && cmp -s "$tmp/x/owl.png" "$tmp/x/p-3.png"; ok $? "the same picture as with -p"
run -m "$model" --prompt-file - -W 64 -H 64 --steps 2 -b 2 -o "$tmp/x/q%d.png" <"$tmp/prompts" &&
    [ "$(files | grep -c '^q[1-6].png$')" -eq 6 ]; ok $? "standard input, two of each"
[ "$(grep -c '^loading' "$tmp/err")" -eq 1 ]; ok $? "the model is loaded once"

# ---- progress
clean
draw -b 2 --progress json; [ "$(grep -vc '^{.*}$' "$tmp/err")" -eq 0 ]; ok $? "--progress json: every line is an object"
for stage in load text sample decode written; do
    grep -q "^{\"stage\": \"$stage\"" "$tmp/err"; ok $? "stage $stage is told"
done
grep -q '"step": 2, "steps": 2, "image": 2, "images": 2, .*"seconds": [0-9.]*, "eta": [0-9.]*}' "$tmp/err"
ok $? "with step, image, seconds and time left"
grep '"stage": "written"' "$tmp/err" | grep -q '"file": "output-2.png"'; ok $? "and the name of what was written"
draw; grep -q '^loading' "$tmp/err" && grep -q '^step 2/2, .* s/step, ETA ' "$tmp/err" && grep -q '^decoding' "$tmp/err"
ok $? "not a terminal: plain lines"
! grep -q "$(printf '\r')" "$tmp/err"; ok $? "without control characters"
draw --progress none; [ "$(wc -l <"$tmp/err")" -eq 1 ]; ok $? "--progress none: only the seed"
draw --progress bar; tr '\r' '\n' <"$tmp/err" | grep -q '^\[#*\.*\] step 1/2, '; ok $? "--progress bar"
draw -v; grep -q '^sdgen: memory: ' "$tmp/err"; ok $? "-v tells the planned memory"
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    for width in 40 70; do
        # shellcheck disable=SC2016 # expanded by the inner shell
        FOX=$model SDGEN=$SDGEN TERM=xterm script -qec 'stty cols '$width'; exec "$SDGEN" -m "$FOX" -p fox -W 64 -H 64 --steps 3 -b 2 -o '"$tmp/x/tty.png" \
            /dev/null >"$tmp/out" 2>&1 </dev/null
        tr '\r' '\n' <"$tmp/out" | sed "s/$(printf '\033')\[K//g" >"$tmp/err"
        grep -q 'step 3/3.*ETA [0-9:]*$' "$tmp/err" && grep -v -e tty -e seed "$tmp/err" | awk "length >= $width { bad = 1 } END { exit bad }"
        ok $? "on a terminal of $width columns the bar keeps to its line"
    done
else
    skip "the bar keeps to its line" "no script(1), or no pseudo-terminals here"
fi

# ---- what goes wrong: one line, no file
# fails STATUS WORDS ARGUMENT...
fails() {
    want=$1 words=$2
    shift 2
    before=$(files)
    draw --progress none "$@"
    status=$?
    [ "$status" -eq "$want" ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q '^sdgen: ' "$tmp/err" &&
        [ ! -s "$tmp/out" ] && grep -qF -e "$words" "$tmp/err" && [ "$before" = "$(files)" ]
    ok $? "refused: $words"
}
clean
mkdir "$tmp/x/folder"
head -c 3000000 "$model" >"$tmp/truncated"
echo "no model at all, only text" >"$tmp/text"
: >"$tmp/empty"
fails 1 "$tmp/truncated" -m "$tmp/truncated"
fails 1 "$tmp/text" -m "$tmp/text"
fails 1 "$tmp/empty" -m "$tmp/empty"
fails 1 "in the layout of diffusers" -m "$tmp"
fails 2 "no component has files of the variant" -m "$TOP/tests/golden/forms/model" --variant fp8
fails 1 "No such file" -m "$tmp/none"
fails 1 "No such file" --vae "$tmp/none"
fails 1 "there is no folder none" -o none/x.png
fails 1 "is a folder; name a file in it: folder/output.png" -o folder
fails 1 "is a folder; name a file in it: folder/output.png" -o folder/
fails 1 "is not a folder" -o "$tmp/text/x.png"
fails 1 "is not a plain file" -o /dev/null
fails 1 "File name too long" -o "$(printf '%0300d' 0).png"
fails 2 "-W 100: not a multiple of 8; the nearest are 96 and 104" -W 100
fails 1 "choose a smaller picture" -W 16384 -H 16384 -b 64 --batch-size 64
fails 2 "--sampling-method eular: no such sampler; the nearest is euler" --sampling-method eular
fails 2 "--scheduler karas: no such schedule; the nearest is karras" --scheduler karas
fails 2 "--like photoshop: no such program; there are a1111" --like photoshop
fails 2 "--isa nope" --isa nope
fails 2 "--precision int8" --precision int8
fails 1 "--trace none: No such file" --trace none
fails 2 "<lora:fur:1> asks for an extra network" -p "a cat <lora:fur:1>"
fails 2 "--eta 0.5: Euler has no such knob" --sampling-method euler --eta 0.5
fails 2 "--sigmas: \"x\" is no number" --sigmas 3,x
draw -p "a cat <lora:fur:1>" --ignore-unsupported; ok $? "--ignore-unsupported draws without it"
grep -q "<lora:fur:1> is left out" "$tmp/err"; ok $? "and says so"
draw -p "[a|the] (cat:1.2) BREAK AND dog :0.5"; ok $? "A1111's prompt language draws"
draw --sampling-method "DPM++ 2M Karras"; ok $? "an old compound name draws"
draw -p "a (cat:1.2)" --literal; ok $? "--literal takes brackets as text"
run -m "$model" --prompt-file "$tmp/none"; [ $? -eq 1 ] && grep -q 'No such file' "$tmp/err"; ok $? "no prompt file"
run -m "$model" --prompt-file "$tmp"; [ $? -eq 1 ] && grep -qi 'directory' "$tmp/err"; ok $? "a folder as prompt file"
run -m "$model" --prompt-file "$tmp/empty"; [ $? -eq 1 ] && grep -q 'holds no prompt' "$tmp/err"; ok $? "an empty prompt file"
printf 'a\nb\0c\n' >"$tmp/zero"
run -m "$model" --prompt-file "$tmp/zero"; [ $? -eq 1 ] && grep -q 'line 2: holds a zero byte' "$tmp/err"; ok $? "a zero byte"
printf 'fox\n\nan <lora:owl:1>\n' >"$tmp/bad"
run -m "$model" --prompt-file "$tmp/bad" --progress none -o "$tmp/x/bad.png"
[ $? -eq 2 ] && grep -q 'bad, line 3: ' "$tmp/err" && ! ls "$tmp"/x/bad* >/dev/null 2>&1
ok $? "a bad line is found before the first is drawn"
if [ "$(id -u)" -eq 0 ]; then fails 1 "cannot write into folder" -o /proc/x.png; else
    chmod 555 "$tmp/x/folder"
    fails 1 "cannot write into folder" -o folder/x.png
fi

# ---- full disks
clean
(ulimit -f 8; draw -b 2 -W 128 -H 128); status=$?
[ "$status" -eq 1 ] && holds && grep -q '^sdgen: output-1.png: write failed: File too large' "$tmp/err"
ok $? "a write that fails leaves nothing"
[ ! -s "$tmp/out" ]; ok $? "and is not named as written"
mkdir "$tmp/disk"
if mount -t tmpfs -o size=8k sdgen-test "$tmp/disk" 2>/dev/null; then
    fails 1 "the disk is full" -o "$tmp/disk/x.png" -W 256 -H 256
    dd if=/dev/zero of="$tmp/disk/fill" bs=4096 count=1 2>/dev/null
    draw -W 16 -H 16 -o "$tmp/disk/a.png" -b 9 --progress none; status=$?
    [ "$status" -eq 1 ] && grep -q 'No space left on device' "$tmp/err" && grep -q 'of 9 pictures were written' "$tmp/err"
    ok $? "a disk that fills up: what was kept is told"
    rm -f "$tmp"/disk/a-?.png "$tmp/disk/fill"
    [ -z "$(ls -A "$tmp/disk")" ]; ok $? "and nothing half-written stays"
    umount "$tmp/disk"
else
    skip "a full disk" "cannot mount"
fi

# ---- signals
if env --default-signal=INT,TERM true 2>/dev/null; then
    clean
    # interrupt FIRST [SECOND]: once the first of many pictures is written. Scripts start jobs with SIGINT ignored.
    interrupt() {
        : >"$tmp/err" # what the run before said must not be taken for this one's
        (cd "$tmp/x" && exec env --default-signal=INT,TERM "$SDGEN" -m "$model" -p fox -W 64 -H 64 --steps 20 -b 5000 \
            --progress json -o 's-%d.png' >"$tmp/out" 2>"$tmp/err") &
        job=$!
        while kill -0 $job 2>/dev/null && ! grep -q '"stage": "written"' "$tmp/err"; do sleep 0.1; done
        for signal; do kill -"$signal" $job 2>/dev/null; done
        wait $job
        status=$?
    }
    interrupt INT
    [ "$status" -eq 130 ]; ok $? "SIGINT ends with 130"
    kept=$(files | wc -l)
    grep -q "^sdgen: stopped; the picture at work was dropped, $kept of 5000 kept" "$tmp/err"; ok $? "what was kept is told"
    # shellcheck disable=SC2046 # names without blanks
    holds $(cat "$tmp/out"); ok $? "and nothing else is left"
    clean
    interrupt TERM
    # shellcheck disable=SC2046
    [ "$status" -eq 143 ] && holds $(cat "$tmp/out"); ok $? "SIGTERM ends with 143 and leaves nothing half-written"
    clean
    interrupt INT TERM
    { [ "$status" -eq 130 ] || [ "$status" -eq 143 ]; } && ! files | grep -qv '^s-[0-9]*\.png$'
    ok $? "two signals end it at once and leave nothing half-written"
else
    skip "signals" "env cannot reset signals"
fi
clean
# shellcheck disable=SC2216 # true reads nothing: that is the point
(cd "$tmp/x" && "$SDGEN" -m "$model" -p fox -W 64 -H 64 --steps 2 -b 3 2>"$tmp/err" | true)
holds output-1.png output-2.png output-3.png; ok $? "a reader that goes away stops nothing"

# ---- the library, from a program of its own
# shellcheck disable=SC2086 # flags are lists
$CC ${CFLAGS:-} -std=c11 -Wall -Wextra -Werror -I"$TOP/src" "$TOP/tests/example.c" ${LDFLAGS:-} "$BUILD/libsdgen.so" \
    -Wl,-rpath,"$BUILD" -o "$tmp/example" >"$tmp/out" 2>"$tmp/err"; ok $? "tests/example.c compiles against sdgen.h alone"
# shellcheck disable=SC2086 # empty or a program with arguments
${EMULATOR:-} "$tmp/example" "$model" "a fox" "$tmp/x/library.png" >"$tmp/out" 2>"$tmp/err"; ok $? "tests/example.c draws"
draw -p "a fox" -s 1 --steps 4 -o program.png && cmp -s "$tmp/x/library.png" "$tmp/x/program.png"
ok $? "the same file as the program"
[ "$(wc -l <"$TOP/tests/example.c")" -le 40 ]; ok $? "in 40 lines"
echo "1..$n"
