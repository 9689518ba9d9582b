"""transformers' CLIPTokenizer made from the merges alone, with nothing downloaded.

source()      path of OpenAI's bpe_simple_vocab_16e6.txt.gz inside the PyPI package clip-anytorch
merges()      its 48,894 merges, "left right"
vocabulary()  the 49,408 pieces in the order of their ids
clip()        the CLIPTokenizer, configured by the files that Stable Diffusion 1 models carry
"""
import gzip
import hashlib
import importlib.util
import json
import pathlib
import tempfile

SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 48894

# tokenizer/tokenizer_config.json of Stable Diffusion 1.4 and 1.5, the lines that matter.
SPECIAL = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
CONFIG = {
    "add_prefix_space": False,
    "bos_token": {**SPECIAL, "content": "<|startoftext|>"},
    "do_lower_case": True,
    "eos_token": {**SPECIAL, "content": "<|endoftext|>"},
    "errors": "replace",
    "model_max_length": 77,
    "pad_token": "<|endoftext|>",
    "tokenizer_class": "CLIPTokenizer",
    "unk_token": {**SPECIAL, "content": "<|endoftext|>"},
}


def source():
    """Found without importing the package, which would import torchvision."""
    folder = importlib.util.find_spec("clip").submodule_search_locations[0]
    path = pathlib.Path(folder) / "bpe_simple_vocab_16e6.txt.gz"
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{path}: not the file that OpenAI published")
    return path


def merges():
    """Line 0 is a header; the lines after the 48,894th are not part of CLIP's vocabulary."""
    return gzip.decompress(source().read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]


def byte_letters():
    """The 256 letters that stand for bytes, in the order of their ids (bytes_to_unicode of openai/CLIP)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def vocabulary():
    letters = byte_letters()
    pieces = letters + [letter + "</w>" for letter in letters] + [m.replace(" ", "") for m in merges()]
    return pieces + ["<|startoftext|>", "<|endoftext|>"]


def clip():
    from transformers import CLIPTokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        vocab = {piece: i for i, piece in enumerate(vocabulary())}
        assert len(vocab) == 49408
        (path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
        (path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges()) + "\n", encoding="utf-8")
        (path / "tokenizer_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder)
