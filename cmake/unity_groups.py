#!/usr/bin/env python3
"""unity_groups.py SIZE FILE...: prints one group number per file, in order, separated by ';'.

Files of one group are compiled as one translation unit, so what a file keeps to itself (the names at the
top of its unnamed namespaces, its file-static functions, namespace aliases and macros) must not be a word
of another one. Every file goes to the first group that has room for it.
"""
import re
import sys

NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|R"\w*\(.*?\)\w*"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)
OPEN = re.compile(r"\bnamespace\s*\{")
NAMES = (
    re.compile(r"^\s*(?:template\s*<.*?>\s*)?(?:struct|class|enum(?:\s+class)?|union)\s+(\w+)"),
    re.compile(r"^\s*(?:using|namespace)\s+(\w+)\s*="),
    re.compile(r"\b(\w+)\s*\("),
    re.compile(r"\b(\w+)\s*(?:\[[^]]*\]\s*)*(?:=|\{|$)"),
)


def private_text(text):
    """The declarations at the top of unnamed namespaces, with everything in inner braces left out."""
    for match in OPEN.finditer(text):
        depth, out = 1, []
        for char in text[match.end():]:
            depth += (char == "{") - (char == "}")
            if depth == 0:
                break
            if depth == 1:
                out.append(";" if char == "}" else char)
            elif depth == 2 and char == "{":
                out.append("{;")
        yield "".join(out)


def names_of(path):
    with open(path, encoding="utf-8") as file:
        text = NOISE.sub(" ", file.read())
    names = set(re.findall(r"^\s*#\s*define\s+(\w+)", text, re.M))
    names |= set(re.findall(r"^\s*namespace\s+(\w+)\s*=", text, re.M))
    names |= set(re.findall(r"^static\b[^;{=]*?\b(\w+)\s*[({=;]", text, re.M))
    for block in private_text(text):
        for declaration in block.split(";"):
            for pattern in NAMES:
                found = pattern.search(declaration)
                if found:
                    names.add(found.group(1))
                    break
    return names, set(re.findall(r"\w+", text))


def main():
    size, files = int(sys.argv[1]), sys.argv[2:]
    groups, out = [], []  # [count, private names, words]
    for path in files:
        names, words = names_of(path)
        for number, (count, private, used) in enumerate(groups):
            if count < size and not names & used and not private & words:
                break
        else:
            number = len(groups)
            groups.append([0, set(), set()])
        group = groups[number]
        group[0] += 1
        group[1] |= names
        group[2] |= words
        out.append(str(number))
    print(";".join(out), end="")


if __name__ == "__main__":
    main()
