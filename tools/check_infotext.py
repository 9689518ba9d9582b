"""Other programs' readers on what sdgen writes, and A1111's on what sdgen reads; prints TAP.

Of 5,000 random settings, written by tests/test_infotext_parse, every value must come out of the readers of PyPI's
sd-parsers and sd-prompt-reader, as far as these can read values of A1111's form at all: both split at bare commas
and so cannot hold quoted ones. Then texts from a generator that likes commas, quotes and colons go through sdgen's
reader and through A1111's regular expression, which must agree.

usage: check_infotext.py TEST_PROGRAM [TEXTS]      the built tests/test_infotext_parse; 100000 texts
needs: sd-parsers, sd-prompt-reader
"""
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from sd_parsers.parsers import AUTOMATIC1111Parser
from sd_prompt_reader.format.a1111 import A1111

PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def check(number, ok, text, why=()):
    print(f"{'ok' if ok else 'not ok'} {number} - {text}")
    for line in list(why)[:5]:
        print("#", line)
    return ok


def joined(case):
    """A run's values as A1111 writes them: sizes in one word."""
    pairs = dict(case)
    for key in ("Size", "Seed resize from"):
        if f"{key}-1" in pairs:
            pairs[key] = f"{pairs.pop(key + '-1')}x{pairs.pop(key + '-2')}"
    return pairs


def splittable(value):
    return not any(c in value for c in ',:"\n')


def readable_prompt(case):
    """sd-parsers looks for the line of values from the end and for a mark anywhere; both strip prompts."""
    return "Negative prompt:" not in case["Prompt"] and case["Prompt"].strip() == case["Prompt"]


def sd_parsers(case):
    if not all(splittable(case[k]) for k in ("Model", "VAE") if k in case):
        return None  # it would split them
    info = AUTOMATIC1111Parser(normalize_parameters=False).parse({"parameters": case["text"]})
    sampler = info.samplers[0]
    found = {**info.metadata, **sampler.parameters, "Sampler": sampler.name}
    if sampler.model:
        found.update({"Model": sampler.model.name, "Model hash": sampler.model.hash})
    found["Prompt"] = sampler.prompts[0].value if sampler.prompts else ""
    found["Negative prompt"] = sampler.negative_prompts[0].value if sampler.negative_prompts else ""
    want = joined({k: v for k, v in case.items() if k != "text"})
    return {k: (v, found.get(k)) for k, v in want.items() if found.get(k) != v}


def sd_prompt_reader(case):
    """It keeps six values, and the line as it is."""
    if not all(splittable(case[k]) for k in ("Model", "VAE") if k in case) or case["text"].startswith("Steps:"):
        return None  # it wants a line before the values
    reader = A1111(raw=case["text"])
    reader._process()
    want = joined(case)
    lost = [f"{k}: {v}" for k, v in want.items()
            if k not in ("Prompt", "Negative prompt", "text") and f"{k}: {v}" not in reader.setting]
    keys = dict(model="Model", sampler="Sampler", seed="Seed", cfg="CFG scale", steps="Steps", size="Size")
    wrong = {k: (want.get(k), reader.parameter.get(mine)) for mine, k in keys.items()
             if k in want and reader.parameter.get(mine) != want[k]}
    if reader.negative != want["Negative prompt"] or (want["Prompt"] and reader.positive != want["Prompt"]):
        wrong["prompts"] = (want["Prompt"], reader.positive, want["Negative prompt"], reader.negative)
    return {**wrong, **({"lost": lost} if lost else {})}


def reads(number, name, reader, cases):
    wrong, done = [], 0
    for case in cases:
        if name != "A1111's expression" and (not readable_prompt(case) or case["Prompt"].startswith("Steps:")):
            continue
        lost = reader(case)
        if lost is None:
            continue
        done += 1
        if lost:
            wrong.append(f"{lost} in {case['text']!r}")
    return check(number, done > len(cases) / 4 and not wrong, f"{name} finds every value in {done} of {len(cases)} texts "
                 "(the others hold what it cannot split)", wrong)


def expression(case):
    """A1111's own reader: every text."""
    _, found = twin(case["text"])
    want = {k: v for k, v in case.items() if k != "text"}
    found = dict(found)
    return {k: (v, found.get(k)) for k, v in want.items() if found.get(k) != v}


# ---- A1111's reading, as golden_infotext.py explains it ----


def twin(text):
    *lines, last = text.strip().split("\n")
    if len(PAIR.findall(last)) < 3:
        lines, last = lines + [last], ""
    texts, which = {"Prompt": "", "Negative prompt": ""}, "Prompt"
    for line in (line.strip() for line in lines):
        if line.startswith("Negative prompt:"):
            which, line = "Negative prompt", line[16:].strip()
        texts[which] += ("" if texts[which] == "" else "\n") + line
    found = list(texts.items())
    for key, value in PAIR.findall(last):
        if value[:1] == '"' and value[-1:] == '"':
            try:
                value = json.loads(value)
            except ValueError:
                pass
        size = re.fullmatch(r"([0-9]+)x([0-9]+)", value)
        found += [(f"{key}-1", size[1]), (f"{key}-2", size[2])] if size else [(key, value)]
    return last, found


PIECES = ["a", "b c", "Steps", "Seed", "Size", ":", ": ", ":  ", ",", ", ", '"', '\\"', "\\\\", "\\", "\\n", "\\u00e9",
          " ", "\t", "-", "/", "_", "5", "512x512", "x", "\n", "Negative prompt:", "\u00e9", "\u732b", "\u3000", "\xa0", "|",
          '"a, b"', "Steps: 20, ", "Sampler: Euler a, ", "{", "[", "<lora:x:1>", "\r", "\u2028", "\U0001f98a"]


def agree(number, program, count):
    r = random.Random(2)
    texts = ["".join(r.choice(PIECES) for _ in range(r.randint(0, 30))) for _ in range(count)]
    answers = subprocess.run([program, "-"], input="".join(json.dumps(t) + "\n" for t in texts).encode(),
                             stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
    wrong = []
    for text, answer in zip(texts, answers):
        got = [tuple(pair) for pair in json.loads(answer)]
        _, want = twin(text)
        same = dict(got) == dict(want) if len(got) != len(want) else got == want
        if not same:  # of a field that comes twice both keep the last value
            wrong.append(f"{text!r}: {[p for p in got if p not in want]} for {[p for p in want if p not in got]}")
    return check(number, not wrong, f"{count} wild texts: the same pairs as A1111's expression", wrong)


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "settings"
        subprocess.run([program, str(path)], check=True)
        cases = [json.loads(line) for line in path.read_text().split("\n") if line]
    ok = reads(1, "A1111's expression", expression, cases)
    ok &= reads(2, "sd-parsers", sd_parsers, cases)
    ok &= reads(3, "sd-prompt-reader", sd_prompt_reader, cases)
    ok &= agree(4, program, count)
    print("1..4")
    sys.exit(not ok)


main()
