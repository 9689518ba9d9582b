#!/bin/sh
# check_full.sh - everything that takes too long, or too many packages, for `make check`.
#
#   sh tools/check_full.sh [STEP...]       default: every step, in this order
#
#   check     make check
#   live      remakes the goldens with the original libraries in a copy of the tree, and tests against them
#   tokens    millions of texts through `sdgen tokens` and the original tokenizer
#   prompts   200,000 random prompts through `sdgen tokens` and a reader written apart from it
#   infotext  readers of PyPI on what sdgen writes, A1111's on what sdgen reads
#   samplers  every sampler on the bundled model, step by step, three schedules, 4, 10 and 25 steps
#   image     Pillow and A1111's reader take a picture's parameters apart
#   ckpt      the bundled model in every form of torch.save draws the same bits
#   writers   the original libraries read the weight files that test_writers writes
#   convert   diffusers, transformers and gguf read what convert writes; merge against numpy
#   fullsize  the full size of Stable Diffusion 1.5, hash weights, against diffusers; memory and time
#   forms     shrunk SD1, SD2 and SDXL in every form and spelling draw the bits of the single safetensors file
#   families  SD2.1, SDXL and SSD-1B in full size, hash weights, a step at a small size against diffusers; 14 GB of memory
#   clang     make check with clang
#   asan      make check under the address and undefined-behaviour sanitizers
#   tsan      make check under clang's thread sanitizer
#   aarch64   make check for 64-bit ARM under qemu-user
#   hostile   the payloads of the hostile pickles do run in Python, and the file of them is what its maker makes
#   fuzz      every fuzz target for 10 million inputs or FUZZ_SECONDS (900)
#
# Packages beyond those of check.sh: sh tools/setup.sh full. Logs go to $BUILD/full. The last line is
# "N passed, N failed, N skipped", counted in steps.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
logs=$BUILD/full
mkdir -p "$logs"
python() { "$(sh tools/venv.sh | tail -n 1)" "$@"; }

step_check() { make check; }
step_live() {
    copy=$BUILD/live
    rm -rf "$copy"
    mkdir -p "$copy"
    sh tools/venv.sh >/dev/null || return 1
    tar -cf - --exclude=__pycache__ Makefile README.md .clang-format src kernels models tests bench tools |
        tar -C "$copy" -xf - || return 1
    ln -s "$(pwd)/.venv" "$copy/.venv"
    sh "$copy/tools/goldens.sh" || return 1
    binaries=$(cd "$BUILD" && pwd)
    BUILD=$binaries SDGEN=$binaries/sdgen sh "$copy/tests/run.sh"
}
step_tokens() { python tools/golden_tokens.py --live "$BUILD/sdgen"; }
step_prompts() { python tools/prompt_twin.py write "$BUILD/prompts.tsv" 200000 1 && "$BUILD/tests/test_prompt" "$BUILD/prompts.tsv"; }
step_infotext() { python tools/check_infotext.py "$BUILD/tests/test_infotext_parse"; }
step_samplers() { python tools/check_samplers_full.py --sdgen "$BUILD/sdgen"; }
step_image() { python tools/golden_image.py --live "$BUILD/sdgen" models/data/sdgen-emoji.safetensors; }
step_ckpt() { python tools/check_ckpt.py --sdgen "$BUILD/sdgen"; }
step_writers() { python tools/check_writers.py "$BUILD/tests/test_writers"; }
step_convert() { python tools/check_convert.py --sdgen "$BUILD/sdgen" && python tools/check_merge.py --sdgen "$BUILD/sdgen"; }
step_fullsize() { python tools/check_fullsize.py --sdgen "$BUILD/sdgen"; }
step_forms() { python tools/check_forms.py --sdgen "$BUILD/sdgen"; }
step_families() { python tools/golden_families.py --names --check && python tools/check_families_full.py --sdgen "$BUILD/sdgen" --folder "$BUILD"; }
step_clang() { make -j"$(nproc)" CC=clang BUILD="$BUILD/clang" test-programs && make CC=clang BUILD="$BUILD/clang" check; }
step_asan() { make asan; }
step_tsan() { make tsan; }
step_aarch64() { sh tools/check_aarch64.sh; }
step_hostile() {
    python -W ignore tools/make_hostile_pickles.py --prove "$BUILD/hostile.tsv" &&
        grep -v '^#' "$BUILD/hostile.tsv" | cut -f 1-3 >"$BUILD/hostile.made" &&
        grep -v '^#' tests/golden/hostile.tsv | cut -f 1-3 | cmp - "$BUILD/hostile.made"
}
step_fuzz() { FUZZ_SECONDS=${FUZZ_SECONDS:-900} FUZZ_RUNS=${FUZZ_RUNS:-10000000} make fuzz; }

[ $# -gt 0 ] || set -- check live tokens prompts infotext samplers image ckpt writers convert fullsize forms families clang asan tsan aarch64 hostile fuzz
make -s -j"$(nproc)" test-programs || exit 1
passed=0
failed=0
for step in "$@"; do
    start=$(date +%s)
    echo "== $step"
    if "step_$step" >"$logs/$step.log" 2>&1; then
        passed=$((passed + 1))
        verdict=passed
    else
        failed=$((failed + 1))
        verdict=FAILED
    fi
    tail -n "$([ "$verdict" = passed ] && echo 3 || echo 60)" "$logs/$step.log" | sed 's/^/    /'
    echo "== $step $verdict after $(($(date +%s) - start)) s, log in $logs/$step.log"
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
