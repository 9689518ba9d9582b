#!/bin/sh
# test_cli_options.sh - options, --help, the manual page and completion: what is refused and how, and that
# all texts name the same options. Needs no model. Prints TAP.
: "${TOP:=$(pwd)}" "${SDGEN:=$TOP/build/sdgen}"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C
unset SDGEN_ISA SDGEN_THREADS
n=0

ok() { # ok STATUS TEXT
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        sed 's/^/# /' "$tmp/out" "$tmp/err"
    fi
}
skip() { n=$((n + 1)) && echo "ok $n - $1 # SKIP $2"; }
run() { "$SDGEN" "$@" >"$tmp/out" 2>"$tmp/err"; }

# refused WORDS ARGUMENT...: exit 2, one line on stderr that holds WORDS, nothing on stdout
refused() {
    words=$1
    shift
    run "$@"
    status=$?
    [ "$status" -eq 2 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && [ ! -s "$tmp/out" ] &&
        grep -q '^sdgen: ' "$tmp/err" && grep -qF -e "$words" "$tmp/err"
    ok $? "refused: $*"
}

# ---- unknown names get the nearest known one
refused "no option --stpes; the nearest is --steps" -m x -p y --stpes 3
refused "no option --cfg; the nearest is --cfg-scale" -m x -p y --cfg 3
refused "no option --num-inference-stepz; the nearest is --num-inference-steps" --num-inference-stepz=3
refused "no option -k" -k
refused "no option -vk" -vk
refused "--progress jsn: no such choice; the nearest is json" -m x -p y --progress jsn
refused "--rng cudda: no such choice; the nearest is cuda" -m x -p y --rng cudda
refused "no command inspekt; the nearest is inspect" inspekt x
refused "no command tokns; the nearest is tokens" help tokns

# ---- values
refused "--steps 0: must be a whole number from 1 to 1000" -m x -p y --steps 0
refused "--steps 1001: must be" -m x -p y --steps 1001
refused "--steps 3x: must be" -m x -p y --steps 3x
refused "--steps 2.0: must be" -m x -p y --steps=2.0
refused "--steps : must be" -m x -p y --steps ''
refused "--steps  3: must be" -m x -p y --steps ' 3'
refused "-s 99999999999999999999: must be a whole number from -1 to 9223372036854774784" -m x -p y -s 99999999999999999999
refused "-s -2: must be" -m x -p y -s -2
refused "--cfg-scale nan: must be a number from 0 to 1000" -m x -p y --cfg-scale nan
refused "--cfg-scale inf: must be" -m x -p y --cfg-scale inf
refused "--cfg-scale 0x10: must be" -m x -p y --cfg-scale 0x10
refused "--cfg-scale 7,5: must be" -m x -p y --cfg-scale 7,5
refused "--eta 1.5: must be a number from 0 to 1" -m x -p y --eta 1.5
refused "--seed-resize 512: must be a size such as 512x768" -m x -p y --seed-resize 512
refused "--seed-resize 4x4: must be a size" -m x -p y --seed-resize 4x4
refused "--seed-resize 512x512x: must be a size" -m x -p y --seed-resize=512x512x
refused "--lower-order-final yes: must be on or off" -m x -p y --lower-order-final yes
refused "--help-all takes no value" --help-all=1
refused "-W 1000000000000: must be a whole number from 1 to 16384" -W1000000000000
refused "-H -8: must be" -H -8
refused "-b 0: must be" -b 0
refused "--batch-size 65: must be" --batch-size 65
refused "--threads -1: must be" --threads -1
refused "--steps needs a value (N)" -m x -p y --steps
refused "-p needs a value (TEXT), not the option --steps" -m x -p --steps 3
refused "--overwrite takes no value" --overwrite=1
SDGEN_THREADS=many
export SDGEN_THREADS
refused "SDGEN_THREADS many: must be a whole number" -m x -p y -o "$tmp/x.png"
unset SDGEN_THREADS

# ---- what belongs together
refused "no model" -p cat
refused "no prompt" -m x
refused "-p and --prompt-file" -m x -p cat --prompt-file y
refused "-v and -q" -m x -p cat -vq
refused "cat: is neither an option nor the value of one" -m x -p a cat
refused "cat: is neither an option nor" -m x -p a -- cat
refused "-o -: pictures go to files" -m x -p cat -o -
refused "after % only d" -m x -p cat -o "$tmp/%s.png"
refused "after % only d" -m x -p cat -o "$tmp/%n.png"
refused "after % only d" -m x -p cat -o "$tmp/%"
refused "after % only d" -m x -p cat -o "$tmp/%999999999d.png"
refused "not into its folder" -m x -p cat -o "$tmp/%d/x.png"
refused "not into its folder" -m x -p cat -o "$tmp/{seed}/x.png"
refused "written as PNG" -m x -p cat -o "$tmp/x.JPG"
refused "bash or zsh" --completion tcsh
run -m x -p "$(printf 'a\033b')" "$(printf 'c\033d')"
grep -q "$(printf '\033')" "$tmp/err"; ok $((1 - $?)) "no escape sequence of an argument reaches the terminal"

# ---- help
run; status=$?
[ "$status" -eq 2 ] && grep -q '^usage: sdgen generate' "$tmp/err" && [ ! -s "$tmp/out" ]
ok $? "without arguments: the usage, as an error"
run --help; status=$?
[ "$status" -eq 0 ] && [ ! -s "$tmp/err" ]; ok $? "--help goes to stdout"
cp "$tmp/out" "$tmp/help"
[ "$(wc -l <"$tmp/help")" -le 36 ]; ok $? "it fits on a screen and a half"
awk 'length > 80 { bad = 1 } END { exit bad }' "$tmp/help"; ok $? "no line is wider than 80 columns"
for arguments in "-h" "generate --help" "help" "help generate" "-m x -p y --steps 3 -h"; do
    # shellcheck disable=SC2086 # words on purpose
    run $arguments && cmp -s "$tmp/out" "$tmp/help"; ok $? "sdgen $arguments says the same"
done
run --help-all; status=$?
[ "$status" -eq 0 ] && [ ! -s "$tmp/err" ]; ok $? "--help-all goes to stdout"
cp "$tmp/out" "$tmp/help-all"
awk 'length > 80 { bad = 1 } END { exit bad }' "$tmp/help-all"; ok $? "no line of it is wider than 80 columns"
for command in inspect convert merge tokens list info rerun; do
    run "$command" --help && grep -q "^usage: sdgen $command" "$tmp/out"; ok $? "sdgen $command --help"
    cp "$tmp/out" "$tmp/help-$command"
done
for name in euler_a karras a1111 diffusers comfyui sd.cpp cuda json; do
    grep -q "$name" "$tmp/help"; ok $? "help names the choice $name"
done
run --version; [ "$(cat "$tmp/out")" = "sdgen $(sed -n 's/^#define SDGEN_VERSION "\(.*\)"/\1/p' "$TOP/src/sdgen.h")" ]
ok $? "--version"
if [ -w /dev/full ]; then
    "$SDGEN" --help >/dev/full 2>"$tmp/err"; [ $? -eq 1 ] && grep -q '^sdgen: standard output' "$tmp/err"
    ok $? "help onto a full disk is an error"
else
    skip "help onto a full disk" "no /dev/full"
fi

# ---- the manual page and completion name what help names
# Long names in a text; aliases are left to the manual and completion.
names() { grep -oe '--[a-z][a-z0-9_-]*' "$1" | sort -u; }
run --man; ok $? "--man"
sed 's/\\-/-/g' "$tmp/out" >"$tmp/man"
cp "$tmp/out" "$tmp/man.1"
run --completion bash; ok $? "--completion bash"
cp "$tmp/out" "$tmp/bash"
run --completion zsh; ok $? "--completion zsh"
cp "$tmp/out" "$tmp/zsh"
for text in man bash zsh; do
    names "$tmp/$text" >"$tmp/$text.names"
    for command in help-all help-inspect help-convert help-merge help-tokens help-list help-info help-rerun; do
        names "$tmp/$command" | comm -23 - "$tmp/$text.names" >"$tmp/out"
        [ ! -s "$tmp/out" ]; ok $? "$text has every option of $command"
    done
done
comm -3 "$tmp/bash.names" "$tmp/zsh.names" | grep -v -- '--completion' >"$tmp/out"
[ ! -s "$tmp/out" ]; ok $? "bash and zsh complete the same names"
grep -qe '--num-inference-steps' "$tmp/man" && grep -qe '--guidance-scale' "$tmp/man"
ok $? "the manual tells the aliases"
names "$tmp/help" | comm -23 - "$tmp/man.names" >"$tmp/out"
[ ! -s "$tmp/out" ]; ok $? "--help names nothing that --help-all does not"
# Every name that a text offers is one that the parser knows.
grep -v -e '--completion' -e '--man' "$tmp/bash.names" | while read -r name; do
    for command in generate inspect convert merge tokens list info rerun bench; do
        # what follows stops a command that knows the name, even where it takes a value, before it does anything
        "$SDGEN" $command "$name" --no-such --no-such 2>&1
    done | grep -c "no option $name" |
        grep -q 9 && echo "$name"
done >"$tmp/out"
[ ! -s "$tmp/out" ]; ok $? "the parser knows every name that completion offers"

if command -v groff >/dev/null 2>&1; then
    groff -man -ww -Tascii "$tmp/man.1" >"$tmp/out" 2>"$tmp/err" && [ ! -s "$tmp/err" ] && [ -s "$tmp/out" ]
    ok $? "groff has nothing against the manual page"
else
    skip "groff renders the manual page" "no groff"
fi
if command -v bash >/dev/null 2>&1; then
    bash -n "$tmp/bash" 2>"$tmp/err"; ok $? "bash can read its completion"
    complete_words() { # complete_words WORD...: what bash would offer for the last of them
        bash -c '. "$1"; shift; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sdgen; printf "%s\n" "${COMPREPLY[@]}"' \
            bash "$tmp/bash" "$@" >"$tmp/out" 2>"$tmp/err"
    }
    complete_words sdgen --cfg-s; [ "$(cat "$tmp/out")" = --cfg-scale ]; ok $? "completion of a name"
    complete_words sdgen -m x --like d; [ "$(cat "$tmp/out")" = diffusers ]; ok $? "completion of a value"
    complete_words sdgen insp; [ "$(cat "$tmp/out")" = inspect ]; ok $? "completion of a command"
    complete_words sdgen inspect --sc; [ "$(cat "$tmp/out")" = --scan ]; ok $? "completion of a command's option"
    touch "$tmp/a file.safetensors"
    complete_words sdgen -m "$tmp/a f"; [ "$(cat "$tmp/out")" = "$tmp/a file.safetensors" ]; ok $? "completion of a file"
else
    skip "bash completion" "no bash"
fi
if command -v zsh >/dev/null 2>&1; then
    zsh -n "$tmp/zsh" 2>"$tmp/err"; ok $? "zsh can read its completion"
else
    skip "zsh can read its completion" "no zsh"
fi
echo "1..$n"
