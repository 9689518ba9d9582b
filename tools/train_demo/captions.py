"""Captions, and CLIP's byte-pair encoding of them (Sennrich et al. 2016; OpenAI CLIP, simple_tokenizer.py).

Captions are lower-case ASCII, so the encoding leaves out what only other text needs. sdgen's own tokenizer
(src/text) is the complete one.
"""
import gzip
import re

START, END, LENGTH = 49406, 49407, 77
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")


def merges_of(path):
    """Reads the pairs of CLIP's vocabulary: bpe_simple_vocab_16e6.txt.gz, or a merges.txt."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    if lines[0].startswith(("#", '"')):
        lines = lines[1:]
    return [tuple(line.split()) for line in lines[:49152 - 256 - 2]]


def byte_characters():
    """The printable character that stands for each byte, in the order of the vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


class Tokenizer:
    """ids(text): the 77 ids that the text encoder reads."""

    def __init__(self, path):
        merges = merges_of(path)
        self.character_of = byte_characters()
        letters = list(self.character_of.values())
        vocabulary = letters + [c + "</w>" for c in letters] + ["".join(pair) for pair in merges]
        self.id_of = {piece: i for i, piece in enumerate(vocabulary)}
        self.rank_of = {pair: rank for rank, pair in enumerate(merges)}
        self.cache = {}

    def word(self, word):
        """Merges the pair of lowest rank until no pair of the word is in the list."""
        pieces = [self.character_of[byte] for byte in word.encode()]
        pieces[-1] += "</w>"
        while len(pieces) > 1:
            best = min(zip(pieces, pieces[1:]), key=lambda pair: self.rank_of.get(pair, len(self.rank_of)))
            if best not in self.rank_of:
                break
            merged, i = [], 0
            while i < len(pieces):
                if tuple(pieces[i:i + 2]) == best:
                    merged.append("".join(best))
                    i += 2
                else:
                    merged.append(pieces[i])
                    i += 1
            pieces = merged
        return [self.id_of[piece] for piece in pieces]

    def ids(self, text):
        """START, the text, END, and END again up to LENGTH, as CLIP pads."""
        if text not in self.cache:
            ids = [i for word in PIECES.findall(text.lower()) for i in self.word(word)]
            ids = [START, *ids[:LENGTH - 2], END]
            self.cache[text] = ids + [END] * (LENGTH - len(ids))
        return self.cache[text]


def caption(picture, background, random):
    """A random way to say what a picture shows; a white background may go without saying."""
    name = picture.name if random.random() < 0.8 else picture.cldr_name
    if random.random() < 0.75:
        article = "an" if name[0] in "aeiou" and not name.startswith("uni") else "a"
        name = f"{article} {name}"
    if background == "white" and random.random() < 0.6:
        return random.choice([name, name, f"{name} emoji", f"an emoji of {name}"])
    on_a = f"{name} on a {background} background"
    return random.choice([on_a, on_a, f"{name}, {background} background", f"{name} on {background}"])
