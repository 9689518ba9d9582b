#!/usr/bin/env python3
"""prompt_twin.py - what a prompt means, written a second time and independently of src/text/prompt_*.c.

Works by Python's own regular expressions, floats and recursion, slowly and plainly, after the published
grammars: AUTOMATIC1111 stable-diffusion-webui 1.10 (modules/prompt_parser.py, extra_networks.py,
processing_scripts/comments.py), ComfyUI (comfy/sd1_clip.py) and stable-diffusion.cpp (src/core/util.cpp).

    prompt_twin.py write FILE COUNT SEED   prompts and what they mean, for tests/test_prompt (see below)
    prompt_twin.py lark COUNT SEED         the grammar of prompt editing against lark's Earley parser

A line of FILE has four fields between tabs: mode, prompt, structure, weights. Modes: A1111's language as A
prompt, N negative prompt, H second pass (the first had 6 calls), O old editing timelines, F both; C ComfyUI,
S stable-diffusion.cpp. The weights of the structure stand in the last field, in its order, so that they can
be compared by value. Tab, line end and backslash are written \\t, \\n and \\\\.
"""
import random
import re
import sys

import numpy as np

STEPS, BASE = 9, 6

# ---- A1111 ----------------------------------------------------------------------------------------------


def without_comments(text):
    text = re.sub("(^|\n)#[^\n]*(\n|$)", "\n", text)
    return re.sub("#[^\n]*(\n|$)", "\n", text)


def without_networks(text, found, pattern=r"<(\w+):([^>]+)>"):
    def take(match):
        found.append((match[1], match[2]))
        return ""

    return re.sub(pattern, take, text)


def sides(text):
    """(text, weight) of each side of AND."""
    out = []
    for side in re.split(r"\bAND\b", text):
        weight = re.search(r"\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*\Z", side)
        out.append((side[: weight.start()], float(weight[1])) if weight else (side.rstrip(), 1.0))
    return out


SIGNED_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*\Z")


class Literal(Exception):
    """The text is none of the editing language."""


def group(text, at):
    """The group that opens at text[at], as (end, node), or None. Nodes: str; ("when", before, after, number);
    ("turns", items); a list of nodes."""
    close = ")" if text[at] == "(" else "]"
    items, separators, starts, i = [[]], "", [at + 1], at + 1
    while True:
        if i >= len(text):
            return None
        char = text[i]
        if char == "\\":
            if text[i + 1 : i + 2] in ("", "\n"):
                raise Literal
            items[-1].append(text[i : i + 2])
            i += 2
        elif char in "([":
            inner = group(text, i)
            if not inner:
                return None
            items[-1].append(inner[1])
            i = inner[0]
        elif char in ")]":
            if char != close:
                return None
            break
        elif char in ":|":
            separators += char
            items.append([])
            i += 1
            starts.append(i)
        else:
            items[-1].append(char)
            i += 1
    if close == ")":
        return (i + 1, ["(", items[0]] + ([":", items[1]] if separators else []) + [")"]) if separators in ("", ":") else None
    if not separators:
        return i + 1, ["[", items[0], "]"]
    if set(separators) == {"|"}:
        return i + 1, ("turns", items)
    number = SIGNED_NUMBER.match(text[starts[-1] : i])
    if separators not in (":", "::") or not number:
        return None
    return i + 1, ("when", items[0] if separators == "::" else [], items[-2], number[1])


def tree(text):
    out, i = [], 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            if i + 1 == len(text) or text[i + 1] == "\n":
                raise Literal
            out.append(text[i : i + 2])
            i += 2
            continue
        inner = group(text, i) if char in "([" else None
        if inner:
            out.append(inner[1])
            i = inner[0]
            continue
        if char == "|":
            raise Literal
        out.append(char)
        i += 1
    return out


def switch(number, steps, base, old):
    value = float(number)
    if old:
        value = value * steps if value < 1 else value
    elif "." in number:
        value = (value - (1.0 if base else 0)) * steps
    else:
        value = value - base
    return min(steps, int(value)) if abs(value) < 1e18 else (steps if value > 0 else 0)


def nodes(node):
    if isinstance(node, list):
        for child in node:
            yield from nodes(child)
    elif isinstance(node, tuple):
        yield node
        for child in node[1:]:
            yield from nodes(child) if isinstance(child, list) else ()


def schedule(text, steps=STEPS, base=0, old=False):
    """[(call up to which it counts, text)]"""
    if old and base:
        steps = base
    if old:
        base = 0
    try:
        root = tree(text)
    except Literal:
        return [(steps, text)]
    ends = {steps}
    for node in nodes(root):
        if node[0] == "turns":
            ends.update(range(1, steps + 1))
        elif switch(node[3], steps, base, old) >= 1:
            ends.add(switch(node[3], steps, base, old))

    def at(node, step):
        if isinstance(node, str):
            return node
        if isinstance(node, list):
            return "".join(at(child, step) for child in node)
        if node[0] == "turns":
            return at(node[1][(step - 1) % len(node[1])], step)
        return at(node[1] if step <= switch(node[3], steps, base, old) else node[2], step)

    return [(end, at(root, end)) for end in sorted(ends)]


ATTENTION = re.compile(r"\\[()\[\]\\]|\\|\(|\[|:\s*([+-]?[.\d]+)\s*\)|\)|\]|[^\\()\[\]:]+|:")


class NoWeight(Exception):
    pass


def attention(text):
    """[[segment, weight]]; BREAK is a segment of weight -1."""
    out, stacks = [], {"(": [], "[": []}

    def scale(stack, factor):
        start = stack.pop()
        for segment in out[start:]:
            segment[1] *= factor

    for match in ATTENTION.finditer(text):
        piece, weight = match[0], match[1]
        if piece[0] == "\\":
            out.append([piece[1:], 1.0])
        elif piece in stacks:
            stacks[piece].append(len(out))
        elif weight is not None and stacks["("]:
            try:
                scale(stacks["("], float(weight))
            except ValueError:
                raise NoWeight
        elif piece == ")" and stacks["("]:
            scale(stacks["("], 1.1)
        elif piece == "]" and stacks["["]:
            scale(stacks["["], 1 / 1.1)
        else:
            for i, part in enumerate(re.split(r"\s*\bBREAK\b\s*", piece)):
                out += ([["BREAK", -1.0]] if i else []) + [[part, 1.0]]
    for stack, factor in ((stacks["("], 1.1), (stacks["["], 1 / 1.1)):
        for start in stack:
            for segment in out[start:]:
                segment[1] *= factor
    return merged(out)


def merged(segments):
    out = []
    for text, weight in segments or [["", 1.0]]:
        if out and out[-1][1] == weight:
            out[-1][0] += text
        else:
            out.append([text, weight])
    return out


# ---- stable-diffusion.cpp -------------------------------------------------------------------------------


def attention_sdcpp(text):
    one, up = np.float32(1), np.float32(1.1)
    down = np.float32(one / up)
    out, rounds, squares = [], [], []

    def scale(start, factor):
        for segment in out[start:]:
            segment[1] = np.float32(segment[1] * factor)

    pattern = re.compile(r"\\[()\[\]\\]|\\|\(|\[|:([+-]?[.0-9]+)\)|\)|\]|BREAK(?![0-9A-Za-z_])|[^\\()\[\]:B]+|:|B")
    for match in pattern.finditer(text):
        piece, weight = match[0], match[1]
        if piece == "(":
            rounds.append(len(out))
        elif piece == "[":
            squares.append(len(out))
        elif weight is not None:
            if rounds:
                prefix = re.match(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", weight)
                if not prefix:
                    raise NoWeight
                scale(rounds.pop(), np.float32(float(prefix[0])))
        elif piece == ")" and rounds:
            scale(rounds.pop(), up)
        elif piece == "]" and squares:
            scale(squares.pop(), down)
        elif piece == "\\(":
            out.append(["(", one])
        elif piece == "BREAK":
            out.append(["BREAK", -one])
        else:
            out.append([piece, one])
    for start in rounds:
        scale(start, up)
    for start in squares:
        scale(start, down)
    return [[text, float(weight)] for text, weight in merged(out or [["", one]])]


# ---- ComfyUI --------------------------------------------------------------------------------------------


def items(text):
    """Brackets of the outermost level with what is in them, and what lies between."""
    out, item, level = [], "", 0
    for char in text:
        if char == "(" and level == 0:
            out.append(item)
            item = ""
        item += char
        level += (char == "(") - (char == ")")
        if char == ")" and level == 0:
            out.append(item)
            item = ""
    return [x for x in out + [item] if x]


def weights_comfyui(text, weight):
    out = []
    for item in items(text):
        if len(item) < 2 or item[0] != "(" or item[-1] != ")":
            out.append([item, weight])
            continue
        inner, inside = item[1:-1], weight * 1.1
        colon = inner.rfind(":")
        if colon > 0:
            try:
                inside = float(inner[colon + 1 :])
                inner = inner[:colon]
            except ValueError:
                pass
        out += weights_comfyui(inner, inside)
    return out


def attention_comfyui(text, found):
    out = []
    text = text.replace("\\)", "\0\1").replace("\\(", "\0\2")
    for segment, weight in weights_comfyui(text, 1.0):
        segment = segment.replace("\0\1", ")").replace("\0\2", "(")
        words = re.split("[ \n](?=embedding:)", segment)
        for word in words:
            match = re.match(r"embedding:\s*(\S+)", word)
            name = match[1].rstrip(",") if match else ""
            if name:
                found.append(("embedding", name))
                word = word[match.start(1) + len(name) :]
            if word:
                out.append([word, weight])
    return out


# ---- structures -----------------------------------------------------------------------------------------


def escape(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def show_segments(segments, weights, breaks=True):
    weights += [weight for _, weight in segments]
    return "".join(f"{{{text}}}" + ("!" if breaks and text == "BREAK" and weight == -1 else "") for text, weight in segments)


def meaning(mode, prompt):
    """(structure, weights)"""
    found, weights, texts, parts = [], [], [], ""
    if mode in "CS":
        try:
            segments = attention_comfyui(prompt, found) if mode == "C" else attention_sdcpp(
                without_networks(prompt, found, r"<(lora):([^:>]+:[^>]+)>"))
        except NoWeight:
            return "no weight", []
        return networks(found) + show_segments(segments, weights, mode == "S"), weights
    text = without_comments(prompt)
    if mode == "N":
        split = [(text, 1.0)]
    else:
        split = sides(without_networks(text, found))
    for side, weight in split:
        parts += "&"
        weights.append(weight)
        for end, turn in schedule(side, base=BASE if mode in "HF" else 0, old=mode in "OF"):
            if turn not in texts:
                texts.append(turn)
            parts += f"{end}={texts.index(turn)},"
    try:
        shown = "".join("#" + show_segments(attention(text), weights) for text in texts)
    except NoWeight:
        return "no weight", []
    return networks(found) + parts + shown, weights


def networks(found):
    return "".join(f"<{name}|{arguments}>" for name, arguments in found)


# ---- prompts --------------------------------------------------------------------------------------------

WORDS = ["a", "cat", "masterpiece", "BREAK", "AND", "B", "OUTBREAK", "sky,", "日本", "é", "1girl", "x_y", "SAND",
         "embedding:", "lora", "# no", "and", "BREAKS"]
NUMBERS = ["1.2", "0.5", ".5", "3", "-1", "+2", "1.", "12", "0", "0.25", "1.5", "7", "1e1", "1.2.3", ".", "٣", " 2 ",
           "-0.3", "8.0", "inf", "1_0", "\u00a04"]
MARKS = list("()[]:|\\<># \n") + ["\t", "\u3000", "_", "="]


def balanced(r, depth):
    """A prompt as people mean it."""
    out = ""
    for _ in range(r.randint(1, 3)):
        kind = r.randrange(14) if depth else 0
        inner = balanced(r, depth - 1) if depth else ""
        number = r.choice(NUMBERS if r.random() < 0.3 else NUMBERS[:12])
        if kind <= 2:
            out += r.choice(WORDS)
        elif kind == 3:
            out += f"({inner})"
        elif kind == 4:
            out += f"({inner}:{number})"
        elif kind == 5:
            out += f"[{inner}]"
        elif kind == 6:
            out += f"[{inner}:{balanced(r, depth - 1)}:{number}]"
        elif kind == 7:
            out += f"[{inner}:{number}]"
        elif kind == 8:
            out += f"[{inner}::{number}]"
        elif kind == 9:
            out += "[" + "|".join([inner] + [balanced(r, depth - 1) if r.random() < 0.8 else "" for _ in range(r.randint(1, 3))]) + "]"
        elif kind == 10:
            out += r.choice([r"\(", r"\)", r"\[", r"\]", r"\\", r"\:", r"\|", "\\"]) + r.choice(WORDS)
        elif kind == 11:
            out += r.choice([" AND ", " BREAK ", f" :{number} AND ", "AND", "BREAK"])
        elif kind == 12:
            out += f"<{r.choice(['lora', 'hypernet', 'x', 'é', ''])}:{r.choice(WORDS)}" + r.choice([f":{number}>", ">", "", ":a=b:2>"])
        else:
            out += r.choice(["# a comment\n", "\n# line\n", "embedding:name, ", ":", "|", "BREAK", " embedding:a b"])
        out += r.choice(["", " ", ", ", "\n"]) if r.random() < 0.6 else ""
    return out


def wild(r):
    """Anything."""
    alphabet = r.choice([MARKS, MARKS + WORDS + NUMBERS, list("()[]"), list("[]:|3.a"), list("():1.a"), list("\\()[]:|"),
                         WORDS + [" ", ",", "(", ")"], list("<a:>|\n# "), MARKS + NUMBERS + [":", ":", "(", ")"]])
    return "".join(r.choice(alphabet) for _ in range(r.randint(0, r.choice([6, 12, 20, 40]))))


def damaged(r, text):
    """A character lost, added or doubled."""
    for _ in range(r.randint(1, 2)):
        i = r.randint(0, len(text))
        text = text[:i] + r.choice(["", r.choice(MARKS), text[max(0, i - 2) : i + 1]]) + text[i + r.randint(0, 1) :]
    return text


def prompts(count, seed, longest=140):
    r = random.Random(seed)
    while count:
        kind = r.randrange(4)
        text = wild(r) if kind == 0 else balanced(r, r.choice([1, 2, 2, 3]))
        if kind == 1:
            text = damaged(r, text)
        mode = r.choice("AAAAANHOFCCS")
        if len(text) <= longest:
            count -= 1
            yield mode, text


def line(mode, prompt):
    structure, weights = meaning(mode, prompt)
    return "\t".join([mode, escape(prompt), escape(structure), " ".join("%.17g" % w for w in weights)]) + "\n"


# ---- the grammar itself ---------------------------------------------------------------------------------


def compare_with_lark(count, seed):
    """Does lark accept the same texts, and do its trees give the same texts at every call? Where strays make a
    text ambiguous lark chooses otherwise now and then (in the version that A1111 pins, by chance)."""
    import lark

    parser = lark.Lark(r"""
        !start: (prompt | /[][():]/+)*
        prompt: (emphasized | scheduled | alternate | plain | WHITESPACE)*
        !emphasized: "(" prompt ")" | "(" prompt ":" prompt ")" | "[" prompt "]"
        scheduled: "[" [prompt ":"] prompt ":" [WHITESPACE] NUMBER [WHITESPACE] "]"
        alternate: "[" prompt ("|" [prompt])+ "]"
        WHITESPACE: /\s+/
        plain: /([^\\\[\]():|]|\\.)+/
        %import common.SIGNED_NUMBER -> NUMBER
        """, maybe_placeholders=True)

    def show(node):
        if node is None or isinstance(node, str):
            return node or ""
        if node.data == "scheduled":
            before, after, _, number, _ = node.children
            return f"<{show(before)}\0{show(after)}\0{number}>"
        if node.data == "alternate":
            return "<" + "\0".join(show(child) for child in node.children) + ">"
        return "".join(show(child) for child in node.children)

    def mine(node):
        if isinstance(node, str):
            return node
        if isinstance(node, list):
            return "".join(map(mine, node))
        if node[0] == "turns":
            return "<" + "\0".join(map(mine, node[1])) + ">"
        return f"<{mine(node[1])}\0{mine(node[2])}\0{node[3]}>"

    accepted = other = 0
    for _, text in prompts(count, seed, 48):
        try:
            theirs = show(parser.parse(text))
        except lark.exceptions.LarkError:
            theirs = None
        try:
            own = mine(tree(text))
        except Literal:
            own = None
        accepted += own is not None
        if (own is None) != (theirs is None):
            sys.exit(f"accepted by one only: {text!r}")
        if own != theirs:
            other += 1
            print("chosen otherwise:", repr(text), repr(theirs))
    print(f"{count} texts, {accepted} accepted by both and no other by either; {other} read otherwise")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "write":
        with open(sys.argv[2], "w", encoding="utf-8", newline="\n") as out:
            out.writelines(line(*p) for p in prompts(int(sys.argv[3]), int(sys.argv[4])))
    elif len(sys.argv) == 4 and sys.argv[1] == "lark":
        compare_with_lark(int(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(__doc__)
