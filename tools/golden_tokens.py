"""Token ids of transformers' CLIPTokenizer, for a large and nasty collection of texts.

    python tools/golden_tokens.py                            writes tests/golden/tokens.tsv
    python tools/golden_tokens.py --live SDGEN [--count N]   compares N more texts (400,000) with `sdgen tokens`

tokens.tsv has one test a line, fields separated by tabs:

    T  ids           text    the text has these ids, separated by blanks
    H  hash          text    FNV-1a (32 bits) of its ids, each as four bytes, lowest first
    R  hash  hash    first last    all code points first..last (hexadecimal), surrogates left out: the ids of
                             each one alone, and of each one behind the letter a; 0xffffffff ends each text

Texts are UTF-8; control characters, backslash, and every byte that is not UTF-8 are written \\xNN. Such a
byte stands for U+FFFD, as Python's errors="replace" decodes it.
"""
import argparse
import itertools
import json
import pathlib
import random
import subprocess

import original_tokenizer

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "tokens.tsv"
BLOCK = 256
LAST = 0x10FFFF
KNOWN = [
    "a photo of an astronaut riding a horse on mars", "Hello, World! 123", "it's a dog's life, don't",
    "masterpiece, best quality, (1girl:1.2)", "naïve café", "日本語", "🙂 smile", "3.14159", "x_y-z/w\\q", "!!!",
    "&lt;b&gt; &amp;amp;", "don’t", "ÀÉÎ", "<|endoftext|>", "“quoted”", "ΣΑΣ", "x\0y", "a \x1c b", "a \x85 b",
    "ﬁne ｆｕｌｌ", "\ufeffstart", "<|EndOfText|>", "<|StartOfText|>x", "a<|endoftext|>b", "İstanbul", "a\u200bb",
    "½ ² Ⅷ ٣٤", "he'd've", "''s", "ß ẞ", "", " ",
]
CONTRACTIONS = ["s", "t", "re", "ve", "m", "ll", "d"]
QUOTES = ["'", "’", "ʼ", "＇", "''", "‘", "`"]
EMOJI = [*range(0x1F300, 0x1F650), *range(0x1F680, 0x1F700), *range(0x1F900, 0x1FA00), *range(0x1FA70, 0x1FB00),
         *range(0x2600, 0x27C0)]
SKIN = [*range(0x1F3FB, 0x1F400)]
SPACES = [9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200C), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
          0x180E, 0xFEFF, *range(0x1C, 0x20)]
MARKS = [*range(0x300, 0x370), *range(0x483, 0x488), *range(0x591, 0x5C8), *range(0x610, 0x61B), *range(0x64B, 0x660),
         0x93C, 0x94D, *range(0xE38, 0xE4C), 0xF71, 0xF72, 0xF74, 0x1037, 0x302A, 0x302D, 0x3099, 0x309A,
         *range(0x1DC0, 0x1E00), *range(0x20D0, 0x20F1), *range(0x1D165, 0x1D16A), 0x16FF0, 0x1E8D0]
BASES = [*range(0x41, 0x7B), *range(0xC0, 0x250), *range(0x370, 0x400), *range(0x1E00, 0x2000), *range(0x400, 0x460),
         *range(0x5D0, 0x5EB), *range(0x621, 0x64B), *range(0x905, 0x93A), *range(0x3041, 0x3100), 0x1D157, 0x1D158]


def scalar(rng, low=0, high=LAST):
    while True:
        c = rng.randint(low, high)
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def any_case(rng, text):
    return "".join(rng.choice((c.lower(), c.upper())) for c in text)


class Corpus:
    """Endless texts of every kind; two with the same seed are the same."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.pieces = [p.removesuffix("</w>") for p in original_tokenizer.vocabulary() if p.isascii()]
        self.kinds = [self.prompt, self.block, self.mixed, self.emoji, self.hangul, self.marks, self.contraction,
                      self.control, self.special, self.salad, self.spaces, self.glued, self.broken_bytes]

    def texts(self, count):
        """Bytes: the text itself, not always UTF-8. One in 600 is long."""
        for i in range(count):
            kind = self.long_word if i % 600 == 599 else self.kinds[i % len(self.kinds)]
            text = kind()
            yield text if isinstance(text, bytes) else text.encode("utf-8")

    def some(self, make, low, high):
        return [make() for _ in range(self.rng.randint(low, high))]

    def word(self):
        word = self.rng.choice(self.pieces)
        return self.rng.choice((word, word, word, word.upper(), word.title(), any_case(self.rng, word)))

    def prompt(self):
        parts = [" ".join(self.some(self.word, 1, 3)) for _ in range(self.rng.randint(1, 4))]
        if self.rng.random() < 0.3:
            parts.append(f"({self.word()}:{self.rng.random() * 2:.{self.rng.randint(0, 3)}f})")
        return self.rng.choice((", ", ",", " | ", " AND ", ". ", "\n")).join(parts)

    def block(self):
        start = self.rng.randrange(0, LAST + 1 - BLOCK, BLOCK)
        if self.rng.random() < 0.7:
            start %= 0x20000
        return "".join(scalar(self.rng, start, start + BLOCK - 1) if not 0xD800 <= start < 0xE000 else "\ufffd"
                       for _ in range(self.rng.randint(1, 12)))

    def mixed(self):
        starts = [0x40, 0xC0, 0x370, 0x400, 0x530, 0x590, 0x600, 0x900, 0xE00, 0x10A0, 0x1100, 0x1E00, 0x2100, 0x2460,
                  0x3040, 0x30A0, 0x4E00, 0xA000, 0xAC00, 0xF900, 0xFB00, 0xFF00, 0x10400, 0x118A0, 0x1D400, 0x20000]
        return "".join(chr(self.rng.choice(starts) + self.rng.randrange(64)) + self.rng.choice(("", "", "", " ", "'s", "1"))
                       for _ in range(self.rng.randint(2, 14)))

    def emoji(self):
        def one():
            text = chr(self.rng.choice(EMOJI))
            for more in ([chr(self.rng.choice(SKIN))], ["\ufe0f"], ["\u20e3"], ["\U000e0067", "\U000e007f"]):
                text += "".join(more) if self.rng.random() < 0.25 else ""
            return text
        flag = "".join(chr(0x1F1E6 + self.rng.randrange(26)) for _ in range(2))
        joined = "\u200d".join(self.some(one, 1, 4))
        return self.rng.choice(("", "a ", "A")) + joined + self.rng.choice(("", " ", flag, "s", "'s", "9\ufe0f\u20e3"))

    def hangul(self):
        ranges = [(0x1100, 0x1112), (0x1161, 0x1175), (0x11A7, 0x11C2), (0xAC00, 0xD7A3), (0x1100, 0x11FF),
                  (0xA960, 0xA97C), (0xD7B0, 0xD7FB), (0x3131, 0x318E)]
        weights = [5, 5, 3, 2, 1, 1, 1, 1]
        return "".join(scalar(self.rng, *self.rng.choices(ranges, weights)[0]) for _ in range(self.rng.randint(1, 10)))

    def marks(self):
        def cluster():
            marks = [chr(c) for c in self.rng.sample(MARKS, self.rng.randint(1, 4))]
            return chr(self.rng.choice(BASES)) + "".join(marks)
        return self.rng.choice(("", "", chr(self.rng.choice(MARKS)))) + "".join(self.some(cluster, 1, 4))

    def contraction(self):
        quote, tail = self.rng.choice(QUOTES), any_case(self.rng, self.rng.choice(CONTRACTIONS))
        before = self.rng.choice(("", "it", "IT", "1", "!", "é", "日", " ", "'", "don" + quote + "t", self.word()))
        return before + quote + tail + self.rng.choice(("", "", " ", "x", "X", quote + "ve", "1", "!", "é", ","))

    def control(self):
        controls = [*range(0x20), *range(0x7F, 0xA1), 0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
                    *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFE), 0xFFFE, 0xFFFF, 0xE0001]
        return "".join(self.rng.choice((chr(self.rng.choice(controls)), self.word())) for _ in range(self.rng.randint(2, 7)))

    def special(self):
        token = self.rng.choice(("<|startoftext|>", "<|endoftext|>"))
        shapes = (token, token, any_case(self.rng, token), any_case(self.rng, token), token.title(), token.upper(),
                  token[: self.rng.randint(1, len(token))], token[self.rng.randint(0, 5) :], token.replace("x", "х"))
        glue = ("", "", " ", "a", "!", "'s", "\u0338", "<", "|", ">", "1", "<|", "|>", self.word())
        return "".join(self.rng.choice(glue) + self.rng.choice(shapes) for _ in range(self.rng.randint(1, 4))) + self.rng.choice(glue)

    def salad(self):
        high = self.rng.choice((0x7F, 0xFF, 0x7FF, 0xFFFF, 0x1FFFF, LAST))
        return "".join(scalar(self.rng, 0, high) for _ in range(self.rng.randint(1, 16)))

    def spaces(self):
        return "".join(chr(self.rng.choice(SPACES)) * self.rng.randint(1, 2) + self.rng.choice(("", "a", "1", "!", "é"))
                       for _ in range(self.rng.randint(1, 8)))

    def glued(self):
        return "".join(self.rng.choice((self.word(), str(self.rng.randrange(10000)), self.rng.choice("!?.,:;-_()[]{}<>|/\\#@*&%'\"")))
                       for _ in range(self.rng.randint(2, 9)))

    def broken_bytes(self):
        text = bytearray(self.rng.choice((self.block, self.mixed, self.emoji))().encode("utf-8"))
        for _ in range(self.rng.randint(1, 4)):
            at = self.rng.randrange(len(text) + 1)
            if self.rng.random() < 0.5:
                del text[at : at + 1]
            else:
                text[at:at] = bytes(self.rng.choices((0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF, 0xA0, 0x9F, 0x90),
                                                     k=self.rng.randint(1, 3)))
        return bytes(text)

    def long_word(self):
        kind = self.rng.randrange(5)
        if kind == 0:
            return "".join(self.some(self.word, 150, 150))[:500]
        if kind == 1:
            return self.word() * 100
        if kind == 2:
            return "".join(self.rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(500))
        if kind == 3:
            return self.rng.choice("a!日🙂éa") * 500
        return "".join(chr(0x4E00 + self.rng.randrange(2000)) for _ in range(500))


def fixed():
    """Small families in full."""
    yield from KNOWN
    for quote, tail, before, after in itertools.product(QUOTES, CONTRACTIONS, ("", "it", "1 ", "!"), ("", "x", " ")):
        for letters in dict.fromkeys((tail, tail.upper(), tail.title(), tail.title().swapcase())):
            yield before + quote + letters + after
    for base, marks in itertools.product("aAoueσ", itertools.permutations("\u0301\u0323\u0302\u031b", 3)):
        yield base + "".join(marks)
    for code in (*range(0x21), *range(0x7F, 0xA1)):
        yield "a" + chr(code) + "b"
        yield "! " + chr(code) + chr(code) + "1"
    for token in ("<|startoftext|>", "<|endoftext|>"):
        for case in (token, token.upper(), token.title(), token.swapcase(), token.capitalize()):
            for left, right in itertools.product(("", "a", "!", "<|", " "), ("", "b", "!", "|>", "'s", "\u0338")):
                yield left + case + right


def fnv(ids, value=2166136261):
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def escape(text):
    try:
        text.decode("utf-8")
        keep = range(0x80, 0x100)
    except UnicodeDecodeError:
        keep = ()
    return b"".join(bytes([b]) if (32 <= b < 127 and b != 92) or b in keep else b"\\x%02x" % b for b in text)


def ids_of(backend, texts):
    decoded = [t.decode("utf-8", errors="replace") for t in texts]
    return [e.ids for e in backend.encode_batch_fast(decoded, add_special_tokens=False)]


def write_golden(backend):
    texts = list(dict.fromkeys([t.encode("utf-8") for t in fixed()] + list(Corpus(1).texts(22000))))
    lines = []
    for i, (text, ids) in enumerate(zip(texts, ids_of(backend, texts))):
        if i < 2500 or i % 10 == 0:
            lines.append(b"T\t%s\t%s" % (" ".join(map(str, ids)).encode(), escape(text)))
        else:
            lines.append(b"H\t%08x\t%s" % (fnv(ids), escape(text)))
    for start in range(0, LAST + 1, BLOCK):
        if 0xD800 <= start < 0xE000:
            continue
        codes = [chr(c) for c in range(start, start + BLOCK)]
        hashes = []
        for prefix in ("", "a"):
            value = fnv([])
            for ids in ids_of(backend, [(prefix + c).encode("utf-8") for c in codes]):
                value = fnv(ids + [0xFFFFFFFF], value)
            hashes.append(value)
        lines.append(b"R\t%08x\t%08x\t%x %x" % (*hashes, start, start + BLOCK - 1))
    GOLDEN.write_bytes(b"\n".join(lines) + b"\n")
    print(f"{GOLDEN}: {len(texts)} texts, every code point; {GOLDEN.stat().st_size} bytes")


def every_code_point():
    for c in range(LAST + 1):
        if not 0xD800 <= c <= 0xDFFF and c != 10:
            yield chr(c).encode("utf-8")
            yield ("a" + chr(c)).encode("utf-8")


def compare(backend, sdgen, texts):
    """Returns how many differ."""
    run = subprocess.run([sdgen, "tokens", "--file", "-", "--raw", "--json"], input=b"\n".join(texts) + b"\n",
                         stdout=subprocess.PIPE, check=True)
    lines = run.stdout.split(b"\n")[:-1]
    assert len(lines) == len(texts), (len(lines), len(texts))
    wrong = 0
    for text, line, want in zip(texts, lines, ids_of(backend, texts)):
        got = json.loads(line)["ids"]
        if got != want:
            wrong += 1
            if wrong <= 20:
                print(f"{text!r}\n  want {want}\n  got  {got}")
    return wrong


def live(backend, sdgen, count):
    corpus = Corpus(2)
    sources = itertools.chain((t.encode("utf-8") for t in fixed()), (p.encode("utf-8") for p in original_tokenizer.vocabulary()),
                              every_code_point(), corpus.texts(count))
    total = wrong = 0
    while batch := [t.replace(b"\n", b"\r") for t in itertools.islice(sources, 100000)]:
        total += len(batch)
        wrong += compare(backend, sdgen, batch)
    print(f"{total} texts compared, {wrong} differ")
    raise SystemExit(1 if wrong else 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--live", metavar="SDGEN")
    parser.add_argument("--count", type=int, default=400000)
    options = parser.parse_args()
    backend = original_tokenizer.clip().backend_tokenizer
    if options.live:
        live(backend, options.live, options.count)
    else:
        write_golden(backend)


if __name__ == "__main__":
    main()
