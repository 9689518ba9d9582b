#!/usr/bin/env python3
"""golden_prompts.py - writes tests/golden/prompts.tsv: every documented case and 5,000 generated prompts, with
what prompt_twin.py says they mean (the format is described there)."""
import os

import prompt_twin

# The cases that the programs document (doc tests of prompt_parser.py, wiki pages), and corners of each rule.
CASES = [
    "", " ", "test", "normal text", "an (important) word", "(unbalanced", r"\(literal\]", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "a [b:3]", "a [b: 3]", "a [[[b]]:2]", "[(a:2):3]",
    "a [b : c : 1] d", "a[b:[c:d:2]:1]e", "a [unbalanced", "a [b:.5] c", "a [{b|d{:.5] c", "((a][:b:c [d:3]",
    "[a|(b:1.1)]", "[fe|]male", "[fe|||]male", "a [b:1.5] c", "[cow|cow|horse|man|siberian tiger|ox|man] in a field",
    "fantasy landscape with a [mountain:lake:0.25] and [an oak:a christmas tree:0.75][ in foreground::0.6]"
    "[ in background:0.25] [shoddy:masterful:0.5]",
    "a cat :1.2 AND a dog AND a penguin :2.2", "a cat AND", "AND", "ANDROID and SAND", "a: b", "half past 12:30",
    "[a AND b]", "a BREAK b", "BREAK", "BREAK BREAK", "(BREAK)", "(a BREAK b:1)", "(a BREAK b:-1)", "(BREAK:1)",
    "OUTBREAK", "BREAKBREAK", "a,BREAK,b", "(B\\REAK:-1)", "<lora:style:0.8> a", "<hypernet:x>", "<lora:>", "<:x>",
    "<<lora:a:b=2:c>>", "<lora:a\nb:1>", "# comment", "a # comment\nb", "a\n# one\n# two\nb", "#a\n#b", "(a:1.2.3)",
    "(a: 1.2 )", "(a:.)", ":1.2)", "(a:)", "((b))", "((a:1.3))", "(a (b:1.3) c:0.5)", "(a:x)", "(:1.3)", "(a:1.2:1.3)",
    "()", "a)(b)", ")((a)", "((a)", "((((a)", "a \\(b\\) (c\\):2)", "(a:1e1)", "(a:inf)", "(a:1_0)", "(a:-1)", "(a:0)",
    "a embedding:x b", "embedding:x, y", "(embedding:x:1.2)", "a [b) c]", "(a [b) c]", "[a:b:c:3]", "[a:3", "[:3]", "[::3]",
    "[a:b:-3]", "[a:b:100]", "[a:b:1e1]", "[a:b:0.999]", "[a:b:1e999]", "a\\", "a\\\nb", "[a\\|b|c]", "[a|[b|c|d]|e]",
    "[[a|b]:c:.5]", "[[a|b]", "[a|b", "(a|b)", "[a:b|c]",
]

if __name__ == "__main__":
    path = os.path.join(os.path.dirname(__file__), "..", "tests", "golden", "prompts.tsv")
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for prompt in CASES:
            out.writelines(prompt_twin.line(mode, prompt) for mode in "ANHOFCS")
        out.writelines(prompt_twin.line(*p) for p in prompt_twin.prompts(5000, 20221))
