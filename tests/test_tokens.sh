#!/bin/sh
# test_tokens.sh - the command `sdgen tokens`: forms of output, lines and bytes of a file, exit statuses.
set -u
number=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# is TEXT WANT GOT
is() {
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf 'want %s\ngot  %s\n' "$2" "$3" | sed 's/^/# /'
    fi
}
# ends TEXT STATUS WORD COMMAND...: exits with STATUS, saying WORD in one line on stderr
ends() {
    text=$1 status=$2 word=$3
    shift 3
    "$@" >"$work/out" 2>"$work/err" </dev/null
    is "$text" "$status, 1 line" "$?, $(grep -c -e "$word" "$work/err") line"
    is "$text: nothing else" "1" "$(wc -l <"$work/err" | tr -d ' ')"
}

is "ids alone" "320 1125 539 320 2368" "$("$SDGEN" tokens --raw -p 'a photo of a cat')"
is "one object, ids only" '{"ids": [320, 2368]}' "$("$SDGEN" tokens --raw --json -p 'a cat')"
is "nothing in it" '{"ids": []}' "$("$SDGEN" tokens --raw --json -p '')"
is "an empty prompt is one chunk" "chunk 1 of 1: start, 0 tokens, 76 x end" "$("$SDGEN" tokens -p "")"
is "pieces of a prompt" '     2   2368  cat</w>' "$("$SDGEN" tokens -p 'a cat' | sed -n 3p)"
is "JSON of a prompt escapes its pieces" '"pieces": ["\"</w>"]' \
    "$("$SDGEN" tokens --json -p '"' | grep -o '"pieces": \["..*"\], "d' | sed 's/, "d$//')"
is "JSON has ids and weights" '"ids": [320, 2368], "weights": [1, 1.5]' \
    "$("$SDGEN" tokens --json -p 'a (cat:1.5)' | grep -o '"ids".*\], "p' | sed 's/, "p$//')"
is "JSON has the schedule" '"turns": [{"until": 5, "text": 0}, {"until": 20, "text": 1}]' \
    "$("$SDGEN" tokens --json -p '[a:b:5]' | grep -o '"turns": [^]]*\]')"
is "JSON names the networks" '"networks": [{"name": "lora", "arguments": "x:1"}]' \
    "$("$SDGEN" tokens --json -p '<lora:x:1>' | grep -o '"networks": [^]]*\]')"
is "bytes that are no text become text" '"text": "\u0001'"$(printf '\357\277\275')"'"' \
    "$("$SDGEN" tokens --json -p "$(printf '\001\377')" | grep -o '"text": "[^"]*"')"
is "a weight has its column" '     2   2368  1.5    cat</w>' "$("$SDGEN" tokens -p 'a (cat:1.5)' | sed -n 3p)"
is "parts of AND" "part 2 of 2, weight 0.5" "$("$SDGEN" tokens -p 'a AND b :.5' | grep '^part 2')"
is "turns" "  calls 0 to 5: text 1" "$("$SDGEN" tokens -p '[a:b:5]' | grep 'calls')"
is "no colours beside a terminal" 0 "$("$SDGEN" tokens -p '(a)' | grep -c "$(printf '\033')")"

printf 'a cat\r\nx\0y\n\n \013\302\205\nlast' >"$work/lines"
printf '{"ids": [320, 2368]}\n{"ids": [343, 444, 344]}\n{"ids": []}\n{"ids": []}\n{"ids": [952]}\n' >"$work/want"
"$SDGEN" tokens --file - --raw --json <"$work/lines" >"$work/got"
is "lines end at line feeds alone, bytes are kept" "$(cat "$work/want")" "$(cat "$work/got")"
"$SDGEN" tokens --file "$work/lines" --raw --json >"$work/got"
is "the same from a file" "$(cat "$work/want")" "$(cat "$work/got")"
is "an empty file has no line" "" "$("$SDGEN" tokens --file /dev/null --raw)"

words=$(awk 'BEGIN { for (i = 0; i < 80; i++) printf "a " }')
is "a1111 makes chunks" 2 "$("$SDGEN" tokens -p "$words" | grep -c '^chunk')"
is "diffusers cuts off" '5 tokens are cut off' \
    "$("$SDGEN" tokens --like diffusers -p "$words" | tail -n 1)"
is "diffusers has no prompt language" 7 "$("$SDGEN" tokens --like diffusers -p '(a:1.2)' | grep -c '</w>')"
is "--literal reads brackets as text" 3 "$("$SDGEN" tokens --literal -p '(a)' | grep -c '</w>')"

is "comfyui replaces weights" "1.3" "$("$SDGEN" tokens --like comfyui -p '((a:1.3))' | awk 'NR == 2 { print $3 }')"
is "sd.cpp weighs squares" "0.9091" "$("$SDGEN" tokens --like sd.cpp -p '[a]' | awk 'NR == 2 { print $3 }')"
is "compel has pluses" "1.21" "$("$SDGEN" tokens --prompt-language compel -p 'a++' | awk 'NR == 2 { print $3 }')"
is "the language alone" 2 "$("$SDGEN" tokens --prompt-language comfyui -p 'a BREAK' | grep -c '</w>')"
is "steps of the schedule" "  call 5 on: text 2" "$("$SDGEN" tokens --steps 8 -p '[a:b:.5]' | grep 'on:')"
is "a negative prompt has no AND" 3 "$("$SDGEN" tokens --negative -p 'a AND b' | grep -c '</w>')"
is "colours on demand" 1 "$("$SDGEN" tokens --color always -p '(a:2)' | grep -c "$(printf '\033\\[31m')")"
ends "a weight that is none" 1 "character 4" "$SDGEN" tokens -p '(a:1.2.3)'
ends "no text" 2 --help "$SDGEN" tokens
ends "two texts" 2 --help "$SDGEN" tokens -p a --file -
ends "no such file" 1 none "$SDGEN" tokens --raw --file "$work/none"
ends "a folder" 1 directory "$SDGEN" tokens --raw --file "$work"
ends "an unknown option" 2 --json "$SDGEN" tokens --jsn -p a
if [ -w /dev/full ]; then
    "$SDGEN" tokens --raw -p a >/dev/full 2>/dev/null
    is "a full disk" 1 $?
else
    number=$((number + 1))
    echo "ok $number - a full disk # SKIP no /dev/full"
fi
echo "1..$number"
