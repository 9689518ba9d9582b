"""Writes models/data/clip_merges_table.c: the 48,894 merges of CLIP's byte-pair encoding as pairs of ids.

    python tools/gen_merges.py

The merges are those of bpe_simple_vocab_16e6.txt.gz, published by OpenAI with CLIP (MIT licence,
https://github.com/openai/CLIP, clip/bpe_simple_vocab_16e6.txt.gz), here taken from the PyPI package
clip-anytorch. original_tokenizer.source() checks its SHA-256.
"""
import pathlib

import original_tokenizer

TARGET = pathlib.Path(__file__).resolve().parent.parent / "models" / "data" / "clip_merges_table.c"
HEADER = """/* clip_merges_table.c - see clip_merges.h. Written by tools/gen_merges.py from OpenAI's
 * bpe_simple_vocab_16e6.txt.gz (https://github.com/openai/CLIP, Copyright (c) 2021 OpenAI, MIT licence;
 * SHA-256 {hash}).
 * Do not edit. */
#include "models/data/clip_merges.h"

const uint16_t sdg_clip_merges[SDG_CLIP_MERGES][2] = {{
"""


def main():
    merges = [m.split(" ") for m in original_tokenizer.merges()]
    ids = {piece: i for i, piece in enumerate(original_tokenizer.vocabulary())}
    cells = []
    for i, (left, right) in enumerate(merges):
        assert ids[left + right] == 512 + i > max(ids[left], ids[right])
        cells.append(f"{{{ids[left]},{ids[right]}}},")
    with open(TARGET, "w") as out:
        out.write(HEADER.format(hash=original_tokenizer.SHA256))
        for at in range(0, len(cells), 8):
            out.write("".join(cells[at : at + 8]) + "\n")
        out.write("};\n")


if __name__ == "__main__":
    main()
