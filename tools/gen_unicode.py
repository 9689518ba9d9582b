"""Writes src/text/unicode_tables.h and .c: what CLIP's tokenizer knows about Unicode.

    python tools/gen_unicode.py            probe, prove, write (half a minute and several more)
    python tools/gen_unicode.py --check    probe and compare with the files that are there

The numbers are asked of the tokenizer itself (transformers' CLIPTokenizer, whose normaliser and
pre-tokeniser come from the `tokenizers` library), not of a Unicode database: a database of another
version would split and compose differently. Everything is found by probing:

class        the split pattern cuts "a" c "!" into ac|! for a letter, a|c|! for a number, a|c! for
             other characters, a|! for white space
lower case   the Lowercase normaliser, one code point at a time
decomposition  the NFD normaliser on each code point, written as nested pairs
ordering     NFD sorts combining marks by their class. Two marks of different classes p < q are known
             as soon as NFD swaps them; any third mark then betrays itself against one of the two: below
             p or equal to p it is swapped behind q, above q or equal to q it is swapped behind p, between
             them it is swapped with both. All marks are then compared with all others: the classes are
             the ranks, 1, 2, 3, ... (the numbers of the standard are not needed, only their order).
composition  NFC on every pair that a decomposition ends in

The script then rebuilds the normaliser from these tables alone, as src/text/nfc.c does, and compares.
"""
import pathlib
import sys

from tokenizers import normalizers

import original_tokenizer

LAST = 0x10FFFF
S, L, V, T, LN, VN, TN = 0xAC00, 0x1100, 0x1161, 0x11A7, 19, 21, 28
CODES = [c for c in range(LAST + 1) if not 0xD800 <= c <= 0xDFFF]
CLASSES = {"other": 0, "space": 1, "letter": 2, "number": 3}

backend = original_tokenizer.clip().backend_tokenizer
nfc, spaces, lowercase = (backend.normalizer[i].normalize_str for i in range(3))
split, byte_level = backend.pre_tokenizer[0], backend.pre_tokenizer[1]
nfd = normalizers.NFD().normalize_str


def is_hangul(c):
    return S <= c < S + LN * VN * TN


# ---- classes


def character_class(c):
    text = "a" + chr(c) + "!"
    cuts = tuple(text[a:b] for _, (a, b) in split.pre_tokenize_str(text))
    if cuts == ("a", "!"):
        return "space"
    return {text[:2]: "letter", "a": "number" if len(cuts) == 3 else "other"}[cuts[0]]


def probe_classes():
    found = {c: character_class(c) for c in CODES}
    for c, name in found.items():
        assert (spaces(chr(c)) == " ") == (name == "space" or c == 0x20), hex(c)
        # The second cut, by the byte-level pattern, knows the same classes: it cuts no piece again.
        for text in ("a" + chr(c), chr(c) + "a") if name == "letter" else ("!" + chr(c), chr(c) + "!"):
            if name in ("letter", "other"):
                assert len(byte_level.pre_tokenize_str(text)) == 1, hex(c)
    return found


def ranges(items):
    """[(first, last, value)] of a sorted [(code, value)]; neighbours must differ by one."""
    result = []
    for code, value in items:
        if result and result[-1][1] + 1 == code and result[-1][2] == value:
            result[-1][1] = code
        else:
            result.append([code, code, value])
    return result


# ---- lower case


def probe_lowercase():
    """Ranges (first, last, step, difference) and the one character that becomes two."""
    runs, pairs = [], []
    for c in CODES:
        low = [ord(x) for x in lowercase(chr(c))]
        if low == [c]:
            continue
        if len(low) > 1:
            assert len(low) == 2
            pairs.append((c, *low))
            continue
        difference = low[0] - c
        run = runs[-1] if runs else None
        if run and run[3] == difference and c - run[1] in (1, 2) and run[2] in (0, c - run[1]):
            run[1], run[2] = c, c - run[1]
        else:
            runs.append([c, c, 0, difference])
    return [[a, b, step or 1, d] for a, b, step, d in runs], pairs


# ---- canonical decomposition, order, composition


def probe_decompositions():
    return {c: nfd(chr(c)) for c in CODES if not is_hangul(c) and nfd(chr(c)) != chr(c)}


def probe_order(whole):
    """Combining mark -> rank of its class. whole: code points that do not decompose."""
    low, high = "\u0334", "\u0345"
    assert nfd(high + low) == low + high == nfd(low + high)
    marks = [c for c in whole
             if nfd("a" + high + chr(c)) == "a" + chr(c) + high or nfd("a" + chr(c) + low) == "a" + low + chr(c)]
    marks = [c for c in marks if chr(c) not in (low, high)] + [ord(low), ord(high)]
    text = "".join("a" + chr(x) + chr(y) for x in marks for y in marks)
    done = nfd(text)
    assert len(done) == len(text)
    behind = {}  # mark -> how many marks it is moved behind, that is: how many have a lower class
    at = 0
    for x in marks:
        behind[x] = 0
        for y in marks:
            pair = done[at + 1 : at + 3]
            assert pair in (chr(x) + chr(y), chr(y) + chr(x))
            behind[x] += x != y and pair == chr(y) + chr(x)
            at += 3
    rank = {n: i + 1 for i, n in enumerate(sorted(set(behind.values())))}
    return {mark: rank[n] for mark, n in sorted(behind.items())}


def pairs_of(decompositions):
    """Decompositions as (code, first, second): first decomposes further; second 0: code is `first` anew."""
    by_text = {}
    for c, text in decompositions.items():
        if len(text) > 1 and (text not in by_text or nfc(text) == chr(c)):
            by_text[text] = c
    result = []
    for c, text in decompositions.items():
        if len(text) == 1:
            result.append((c, ord(text), 0))
        elif len(text) > 1 and by_text[text] != c:
            result.append((c, by_text[text], 0))
        else:
            head = ord(text[0]) if len(text) == 2 else by_text[text[:-1]]
            result.append((c, head, ord(text[-1])))
    return result


def compositions_of(pairs):
    return sorted((second, first, c) for c, first, second in pairs
                  if second and nfc(chr(first) + chr(second)) == chr(c))


# ---- the same in plain Python, and the proof


class Rebuilt:
    def __init__(self, pairs, order, compositions):
        self.pairs = {c: (a, b) for c, a, b in pairs}
        self.order = order
        self.compositions = {(a, b): c for b, a, c in compositions}

    def decompose(self, c):
        if is_hangul(c):
            s = c - S
            tail = [T + s % TN] if s % TN else []
            return [L + s // (VN * TN), V + s // TN % VN] + tail
        if c not in self.pairs:
            return [c]
        a, b = self.pairs[c]
        return self.decompose(a) + ([b] if b else [])

    def compose(self, a, b):
        if L <= a < L + LN and V <= b < V + VN:
            return S + ((a - L) * VN + b - V) * TN
        if is_hangul(a) and (a - S) % TN == 0 and T < b < T + TN:
            return a + b - T
        return self.compositions.get((a, b))

    def nfc(self, text):
        codes, run = [], []
        for c in [d for x in text for d in self.decompose(ord(x))] + [0]:
            if self.order.get(c):
                run.append(c)
            else:
                codes += sorted(run, key=self.order.get) + [c]
                run = []
        out, starter, last = [], None, 0
        for c in codes[:-1]:
            kind = self.order.get(c, 0)
            if starter is not None and (starter == len(out) - 1 or last < kind):
                joined = self.compose(out[starter], c)
                if joined:
                    out[starter] = joined
                    continue
            out.append(c)
            last = kind
            if kind == 0:
                starter = len(out) - 1
        return "".join(map(chr, out))


def prove(rebuilt, decompositions):
    import random

    for c in CODES:
        assert "".join(map(chr, rebuilt.decompose(c))) == nfd(chr(c)), hex(c)
        assert rebuilt.nfc(chr(c)) == nfc(chr(c)), hex(c)
    # No composition is missing: every code point before every character that ends a decomposition.
    ends = sorted({ord(t[-1]) for t in decompositions.values() if len(t) > 1})
    for b in ends:
        found = nfc("".join(chr(a) + chr(b) + "\n" for a in CODES if a != 0x0A)).split("\n")
        wrong = [a for a, text in zip((a for a in CODES if a != 0x0A), found)
                 if len(text) == 1 and rebuilt.nfc(chr(a) + chr(b)) != text]
        assert not wrong, (hex(b), wrong[:5])
    rng = random.Random(1)
    marks = list(rebuilt.order)
    bases = [a for a, _ in rebuilt.compositions] + list(decompositions) + [*range(L, L + LN), *range(V, V + VN),
                                                                            *range(T, T + TN), *range(S, S + 60)]
    for _ in range(200000):
        text = "".join(chr(rng.choice(marks if rng.random() < 0.6 else bases)) for _ in range(rng.randint(1, 12)))
        assert rebuilt.nfc(text) == nfc(text), text.encode("unicode_escape")


# ---- output

ROOM = pathlib.Path(__file__).resolve().parent.parent / "src" / "text"

HEADER = """/* unicode_tables.h - sizes and names of the tables in unicode_tables.c. Written by tools/gen_unicode.py.
 * Do not edit. */
#ifndef SDG_TEXT_UNICODE_TABLES_H
#define SDG_TEXT_UNICODE_TABLES_H

#include <stdint.h>

/* Below this code point NFC changes nothing and joins nothing. */
#define SDG_NFC_FIRST 0x{still:04x}

/* Code points first..last and a number that they share. */
struct sdg_code_range {{
    uint32_t first, last;
    int value;
}};
/* Code points first, first + step, ..., last: the lower case is `difference` away. */
struct sdg_lower_range {{
    uint32_t first, last, step;
    int32_t difference;
}};
struct sdg_code_pair {{
    uint32_t code, first, second;
}};

{declarations}

#endif
"""


def rows_of(rows):
    """C initialisers, packed to 100 columns."""
    lines = ["   "]
    for row in rows:
        cell = " {" + ", ".join(row) + "},"
        if len(lines[-1]) + len(cell) > 100:
            lines.append("   ")
        lines[-1] += cell
    return "\n".join(lines)


def hexes(*codes):
    return [f"0x{c:04x}" for c in codes]


def write_out(tables, still):
    import tokenizers

    names = [f"const struct {kind} {name}[{len(rows)}]" for kind, name, _, rows in tables]
    notes = [note for _, _, note, _ in tables]
    header = HEADER.format(still=still, declarations="\n".join(
        f"/* {note} */\nextern {name};" for name, note in zip(names, notes)))
    body = ("/* unicode_tables.c - see unicode_tables.h. Written by tools/gen_unicode.py, which asked transformers'\n"
            f" * CLIPTokenizer (tokenizers {tokenizers.__version__}) about every code point. Do not edit. */\n"
            '#include "text/unicode_tables.h"\n')
    for name, table in zip(names, tables):
        body += f"\n{name} = {{\n{rows_of(table[3])}\n}};\n"
    for path, text in ((ROOM / "unicode_tables.h", header), (ROOM / "unicode_tables.c", body)):
        if "--check" in sys.argv:
            assert path.read_text() == text, path
        else:
            path.write_text(text)


def main():
    classes = probe_classes()
    runs, doubles = probe_lowercase()
    decompositions = probe_decompositions()
    order = probe_order([c for c in CODES if c not in decompositions and not is_hangul(c)])
    pairs = pairs_of(decompositions)
    compositions = compositions_of(pairs)
    if "--check" not in sys.argv:
        prove(Rebuilt(pairs, order, compositions), decompositions)
    still = min({c for c in decompositions if nfc(chr(c)) != chr(c)} | set(order)
                | {b for b, _, _ in compositions} | {L})
    class_rows = ranges((c, CLASSES[n]) for c, n in classes.items() if n != "other")
    write_out([
        ("sdg_code_range", "sdg_class_ranges", "value: enum sdg_char_class",
         [hexes(a, b) + [str(v)] for a, b, v in class_rows]),
        ("sdg_code_range", "sdg_mark_ranges", "value: rank of the canonical combining class",
         [hexes(a, b) + [str(v)] for a, b, v in ranges(sorted(order.items()))]),
        ("sdg_lower_range", "sdg_lower_ranges", "lower case, where it is one character",
         [hexes(a, b) + [str(s), str(d)] for a, b, s, d in runs]),
        ("sdg_code_pair", "sdg_lower_pairs", "lower case, where it is two", [hexes(*row) for row in doubles]),
        ("sdg_code_pair", "sdg_decompositions", "sorted by code; first may decompose further, second is 0 if there is none",
         [hexes(*row) for row in pairs]),
        ("sdg_code_pair", "sdg_compositions", "sorted by second, then first",
         [hexes(c, a, b) for b, a, c in compositions]),
    ], still)


if __name__ == "__main__":
    main()
