#!/bin/sh
# lint.sh - the rules of the house that a compiler does not check, as TAP lines; `make check` runs it.
#
# Layers by include, sizes of files and functions, header guards, headers that compile alone, formatting,
# unique names, and, from the built library: no instruction beyond the baseline outside the files whose
# suffix allows it, no writable globals, nothing that prints or ends the process.
# Needs sh, awk, grep and a compiler; what needs clang-format or binutils is skipped where they are missing.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
CC=${CC:-cc}
LC_ALL=C
export LC_ALL

number=0
failed=0
# rule FUNCTION TEXT: the function prints its findings; none is a pass.
rule() {
    number=$((number + 1))
    findings=$("$1" 2>&1)
    if [ -z "$findings" ]; then
        echo "ok $number - $2"
    else
        failed=$((failed + 1))
        echo "not ok $number - $2"
        printf '%s\n' "$findings" | sed 's/^/# /'
    fi
}
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

sources() { find src kernels models tests bench -name '*.[ch]' | sort; }
product() { find src kernels models -name '*.[ch]' | sort; }
headers() { find src kernels models tests bench -name '*.h' | sort; }
# Tables that a script wrote are exempt from formatting and sizes.
written_by_hand() { grep -v '_\(table\|tables\|data\)\.[ch]$'; }

# ---- who may include whom: "room: rooms it may include". Its own room is always allowed.
layers() {
    product | xargs awk '
        function room_of(path) {
            if (path ~ /^src\/sdgen\.h$/) return "sdgen.h"
            if (path ~ /^src\//) { sub(/^src\//, "", path); sub(/\/.*/, "", path); return path }
            sub(/\/.*/, "", path)
            return path
        }
        BEGIN {
            may["kernels"]  = ""
            may["sdgen.h"]  = ""
            may["base"]     = "sdgen.h"
            may["ops"]      = "sdgen.h base kernels"
            may["models"]   = "sdgen.h base ops"
            may["files"]    = "sdgen.h base"
            may["weights"]  = "sdgen.h base ops models files"
            may["convert"]  = "sdgen.h base models files weights"
            may["text"]     = "sdgen.h base ops models"
            may["sampling"] = "sdgen.h base ops models"
            may["image"]    = "sdgen.h base ops models"
            may["pipeline"] = "sdgen.h base ops models files weights text sampling image kernels"
            may["cli"]      = "sdgen.h base ops models files weights convert text sampling image pipeline kernels bench"
        }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            split($0, part, "\"")
            name = part[2]
            folder = FILENAME
            sub(/\/[^\/]*$/, "", folder)
            if (name == "sdgen.h" || name ~ /^(models|kernels)\//) target = name == "sdgen.h" ? name : room_of(name)
            else if (name == "kernels.h" || name == "cpu.h") target = "kernels"
            else if (name !~ /\// || name ~ /^vec\//) target = room_of(FILENAME) # kernels/vec: the kernels themselves
            else target = room_of("src/" name)
            own = room_of(FILENAME)
            if (target != own && index(" " may[own] " ", " " target " ") == 0)
                print FILENAME ":" FNR ": " own " may not include " name
        }'
    # The one door to threads, the one door to BLAS, JSON above the computing layers.
    product | grep -v '^src/base/parallel\.c$' | xargs grep -nE 'include *<omp\.h>|pragma +omp|omp_[gs]et' |
        sed 's/$/   (OpenMP is named in src\/base\/parallel.c alone)/'
    product | grep -v '^bench/blas\.c$' | xargs grep -nE 'include *<cblas\.h>|cblas_[sd]' |
        sed 's/$/   (BLAS is called in bench\/blas.c alone)/'
    find models kernels src/ops -name '*.[ch]' -exec grep -niE 'cjson|openmp' {} + |
        sed 's/$/   (neither JSON nor OpenMP is named here)/'
    find models -name '*.[ch]' -exec grep -n 'kernels\.h' {} + | sed 's/$/   (models know operations, not kernels)/'
}

# ---- sizes: functions end at 100 lines (micro-kernels 150), files at 600.
sizes() {
    sources | written_by_hand | xargs awk '
        function close_file() { if (lines > 600) print file ": " lines " lines (a file ends at 600)" }
        FNR == 1 { close_file(); file = FILENAME; start = 0 }
        { lines = FNR }
        /^[A-Za-z_].*\(/ && start == 0 { head = FNR }
        /^\{/ { start = head ? head : FNR }
        /^\}/ {
            cap = FILENAME ~ /^kernels\// ? 150 : 100
            if (start && FNR - start + 1 > cap)
                print FILENAME ":" start ": function of " FNR - start + 1 " lines (cap " cap ")"
            start = head = 0
        }
        END { close_file() }'
}

# ---- headers: one guard, named after the file; #include works alone, in any order.
guards() {
    headers | while read -r file; do
        stem=$(basename "$file" .h | tr 'a-z-' 'A-Z_')
        guard=$(sed -n 's/^#ifndef \([A-Z0-9_]*\)$/\1/p' "$file" | head -n 1)
        case $guard in
        SDG_*"$stem"_H | SDGEN_H) ;;
        *) echo "$file: guard '$guard' should be SDG_<path>_${stem}_H" ;;
        esac
        grep -q "^#define $guard\$" "$file" || echo "$file: guard $guard is not defined"
    done
    headers | xargs sed -n 's/^#ifndef \(SDG[A-Z0-9_]*_H\)$/\1/p' | sort | uniq -d | sed 's/$/: used by two headers/'
}
alone() {
    headers | while read -r file; do
        case $file in
        kernels/x86/* | kernels/arm/*) continue ;; # compiled with the flags of their suffix only
        tests/emulated/*) continue ;;              # words, each file using some of them
        esac
        printf '#include "%s"\n' "$file" |
            $CC -std=c11 -Wall -Wextra -Wundef -Wstrict-prototypes -Isrc -I. -Ikernels -fsyntax-only -x c - 2>&1 |
            grep -E 'error|warning'
    done
}

# ---- prototypes belong to headers: a non-static declaration of a function in a .c file.
prototypes() {
    sources | grep '\.c$' | written_by_hand | xargs awk '
        FNR == 1 { depth = 0; text = ""; comment = 0 }
        /^[ \t]*#/ { next }
        {
            line = $0
            gsub(/\\./, "", line); gsub(/"[^"]*"/, "\"\"", line); gsub(/\x27[^\x27]*\x27/, "0", line)
            while (1) {
                if (comment) { if (!(at = index(line, "*/"))) { line = ""; break }; line = substr(line, at + 2); comment = 0 }
                if (!(at = index(line, "/*"))) break
                rest = substr(line, at + 2); line = substr(line, 1, at - 1)
                if (!(end = index(rest, "*/"))) { comment = 1; break }
                line = line substr(rest, end + 2)
            }
            for (i = 1; i <= length(line); i++) {
                c = substr(line, i, 1)
                if (c == "{") depth++
                if (depth == 0 && c == ";") {
                    if (text ~ /^[ \t]*[a-zA-Z_][a-zA-Z_0-9 *]*\(.*\)[^=]*$/ && text !~ /^[ \t]*(static|typedef)/ && text !~ /\([ ]*\*/ \
                        && text !~ /^[ \t]*_Static_assert/)
                        print FILENAME ":" FNR ": prototype in a .c file: " text
                    text = ""
                } else if (depth == 0) text = text c
                if (c == "}") { if (--depth <= 0) { depth = 0; text = "" } }
            }
            text = text " "
            sub(/^[ ]+/, "", text)
        }'
}

blanks() {
    tab=$(printf '\t')
    git_or_find | grep -v '\.\(safetensors\|ckpt\|pt\|bin\|png\|gz\|npy\|zip\|tsv\)$' | xargs grep -nIE "[ $tab]+\$" | cut -c1-120
    sources | xargs grep -nI "$tab" | sed 's/$/   (tab)/'
    # Two files of one name would also collide inside the library.
    product | sed 's|.*/||' | sort | uniq -d | sed 's/$/: file name is not unique/'
}
git_or_find() { find Makefile README.md src kernels models tests bench tools .ci -type f 2>/dev/null | grep -v __pycache__; }

# ---- the project speaks of itself alone, and leaves no loose ends.
words() {
    git_or_find | grep -v '^models/data/\|^tests/golden/' | written_by_hand |
        xargs grep -nIE '\b(TO[D]O|FIX[M]E|X[X]X)\b|/wor[k]/|\bshare[d]/|\bsess[i]on|\bhelpe[r]|\bissu[e] ?#?[0-9]|\bfact[s]\.md|\bfact[s]? [A-J][0-9]' | cut -c1-160
}

# The tour of the source names every file of the engine.
tour() {
    find src -mindepth 2 -name '*.[ch]' | sort | while read -r file; do
        grep -q "\`$(basename "$file" | sed 's/\..$//')\." src/README.md || echo "$file: not in src/README.md"
    done
    sed -n 's/^| `\([a-z0-9_]*\)\.\(.\).*/\1.\2/p' src/README.md | while read -r name; do
        find src -name "$name" | grep -q . || echo "src/README.md names $name, which does not exist"
    done
}

formatting() {
    sources | written_by_hand | xargs clang-format --dry-run -Werror 2>&1 |
        sed -n 's/:[0-9]*:[0-9]*: error:.*/: not laid out as .clang-format says (make format)/p' | sort -u
}

# Only what git knows counts: build folders and pictures may lie about.
top_level() {
    command -v git >/dev/null 2>&1 && [ -d .git ] || return 0
    git ls-files 2>/dev/null | sed 's|/.*||' | sort -u |
        grep -vxE 'Makefile|src|kernels|models|tests|bench|tools|README\.md|LICENSE|\..*' | sed 's/$/: not a place of the top level/'
}

# ---- what the built library shows. Sanitizers add symbols and code of their own: plain builds only.
code_of_members() { objdump -d --no-show-raw-insn "$BUILD"/libsdgen.a "$BUILD"/src/cli/*.o; }
instructions() {
    code_of_members | awk '
        /file format/ { member = $1; sub(/:$/, "", member); sub(/.*\//, "", member); sub(/\.o$/, "", member); said = 0
            wide = member ~ /_(avx2|avx512|avx512bf16|amx)$/; widest = member ~ /_(avx512|avx512bf16|amx)$/; next }
        !said && /%[yzt]mm[0-9]|\tv[a-z0-9]+ .*%xmm|%k[1-7]/ {
            if (!wide) { print member ": instruction beyond the baseline:" $0; said = 1 }
            else if (!widest && /%[zt]mm|%k[1-7]/) { print member ": AVX-512 in an AVX2 file:" $0; said = 1 }
        }'
}
# stb's two are tables that it forgot to make const.
globals() {
    objdump -t "$BUILD"/libsdgen.a | awk '
        /file format/ { member = $1; next }
        member == "stb.o:" && $NF ~ /^(firstmap|mapping)\./ { next }
        / O \.(data|bss|tdata|tbss)[ \t]/ || / O \*COM\*/ { print member " " $NF ": writable global" }'
}
talk() {
    nm -u "$BUILD"/libsdgen.a 2>/dev/null | awk '
        /\.o:$/ { member = $1; next }
        $2 ~ /^(exit|_exit|_Exit|abort|__assert_fail|printf|__printf_chk|puts|putchar|perror|stdout|stderr|signal|sigaction)$/ {
            print member " uses " $2 " (the library never ends, prints or touches signals)"
        }'
}

rule layers "includes point downward"
rule sizes "files and functions keep their size"
rule guards "header guards"
rule alone "headers compile alone"
rule prototypes "no prototypes in .c files"
rule blanks "no trailing blanks, tabs or file names used twice"
rule words "no loose ends, no foreign words"
rule tour "src/README.md names every file"
rule top_level "top level holds what it should"

name="formatted as .clang-format says"
version=$(clang-format --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p')
case $version in
14) rule formatting "$name" ;;
'') skip "$name" "no clang-format" ;;
*) skip "$name" "clang-format $version lays out differently from 14" ;;
esac

if ! command -v objdump >/dev/null 2>&1 || [ ! -f "$BUILD/libsdgen.a" ]; then
    skip "the built library" "needs objdump and $BUILD/libsdgen.a"
elif nm "$BUILD/libsdgen.a" 2>/dev/null | grep -q '__[at]san_'; then
    skip "the built library" "built with a sanitizer"
elif ! objdump -f "$BUILD/libsdgen.a" | grep -q 'elf64-x86-64'; then
    skip "the built library" "not built for x86-64"
else
    rule instructions "no instruction beyond the baseline outside suffix files"
    rule globals "no writable globals in the library"
    rule talk "the library never prints, exits or aborts"
fi
echo "1..$number"
[ "$failed" -eq 0 ]
