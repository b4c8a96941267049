#!/usr/bin/env python3
"""Checks what STYLE.md says and a program can see: `tidy.py REPO`.

Layer edges, banned calls (with what to use instead), sizes of files and functions, a README in every room,
no TODO without an issue. Sizes ratchet: offenders are listed in sizes.txt and may only shrink;
`tidy.py REPO --write-sizes` writes the list anew.
"""
import os
import re
import subprocess
import sys

REPO = os.path.abspath(sys.argv[1])
SIZES = os.path.join(REPO, "tests/tidy/sizes.txt")
LIMITS = {".h": 150, ".cc": 400}
FUNCTION_LINES = 60

# What a folder may include, besides itself, sdk ("skep/...") and the standard library.
LAYERS = {
    "core/base": set(),
    "core/bus": {"core/base"},
    "core/model": set(),
    "core/store": {"core/base", "core/model", "core/bus"},
    "core/pluginhost": {"core/base", "core/model", "core/bus"},
    "core/link": {"core/base", "core/model", "core/bus"},
    "core/control": {"core/base", "core/model", "core/bus", "core/store", "core/link"},
    "core/node": {"core/base", "core/model", "core/bus"},
    "core/agentd": {"core/base", "core/model", "core/bus", "core/store", "core/link", "core/pluginhost", "core/control", "core/node"},
    "core/agentctl": {"core/base", "core/model", "core/bus"},
}

def is_test(path):
    """Tests and what only they link: fakes, labs, programs that need root."""
    return (path.startswith(("tests/", "bench/")) or "/testing/" in path or "/testing_" in path
            or path.endswith(("_test.cc", "_bench.cc", "_root.cc")))


# (pattern, what to use instead, folders or files where it is right)
BANNED = [
    (r"\b(sleep_for|sleep_until|usleep)\s*\(", "a timer of the Loop, or ManualClock in tests", []),
    (r"(?<![\w.:>])(system|popen)\s*\(", "Env.subprocess", []),
    (r"\bstd::thread\b(?!::id)", "the Loop or Env.workers",
     ["sdk/src", "sdk/include/skep/posix_env.h", "core/base", "core/pluginhost/shell", "plugins/lib/netns.cc",
      "core/node/posix_sandbox.cc"]),
    (r"\.detach\(\)", "a thread that is joined", []),
    (r"(?<![\w.:>])s?rand\s*\(", "Env.random", []),
    (r"(system|steady)_clock::now\b", "Env.clock",
     ["sdk/src/posix_clock.cc", "core/base"]),
    (r"\bdlopen\s*\(|boost/dll", "core/pluginhost/loader", ["core/pluginhost/loader.cc"]),
    (r"catch \(\.\.\.\)", "a named exception", ["sdk/src", "sdk/include/skep/plugin.h", "_main.cc", "main.cc"]),
    (r"std::cout\b", "a stream that is handed in", ["core/agentctl"]),
    (r"\bFIXME\b|\bXXX\b", "a fix, or TODO(#issue)", []),
    (r"\bTODO\b(?!\(#\d+\))", "TODO(#issue)", []),
]


def files():
    listed = subprocess.run(["git", "-C", REPO, "ls-files", "-co", "--exclude-standard"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.split("\n")
    return [f for f in listed if f.endswith((".h", ".cc")) and os.path.exists(os.path.join(REPO, f))]


def layer_of(path):
    return next((layer for layer in LAYERS if path.startswith(layer + "/")), None)


def check_includes(path, lines, problems):
    layer = layer_of(path)
    for number, line in enumerate(lines, 1):
        found = re.match(r'#include "((?:core|plugins|sdk)/[^"]+)"', line)
        if not found:
            continue
        target = found.group(1)
        if layer and not target.startswith(layer + "/") and layer_of(target) not in LAYERS[layer]:
            problems.append(f"{path}:{number}: {layer} must not include {target}")
        if path.startswith("plugins/") and target.startswith("core/") and not is_test(path):
            problems.append(f"{path}:{number}: a plugin includes only skep/ and plugins/lib, not {target}")
        if path.startswith("sdk/") and not target.startswith("sdk/"):
            problems.append(f"{path}:{number}: the SDK includes nothing of the tree, not {target}")


def check_banned(path, lines, problems):
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0] if "TODO" not in line and "FIXME" not in line else line
        for pattern, instead, allowed in BANNED:
            if re.search(pattern, code) and not is_test(path) and not any(part in path for part in allowed):
                problems.append(f"{path}:{number}: {line.strip()[:60]!r} is banned here; use {instead}")


def functions(lines):
    """(first line, length) of function bodies, as clang-format lays them out: from a line that ends in
    ' {' at indent 0, 2 or 4 to the '}' at the same indent."""
    opened = None
    for number, line in enumerate(lines, 1):
        if opened is None:
            found = re.match(r"( {0,4})\S.*\)[^;=]*\{$", line)
            if found and not re.match(r" *(namespace|class|struct|enum|if|for|while|switch|do|else|\}|TEST)", line):
                opened = (number, found.group(1))
        elif line == opened[1] + "}" or line.startswith(opened[1] + "} "):
            yield opened[0], number - opened[0] + 1
            opened = None


def main():
    problems, sizes = [], {}
    for path in files():
        with open(os.path.join(REPO, path), encoding="utf-8") as file:
            lines = file.read().split("\n")
        check_includes(path, lines, problems)
        check_banned(path, lines, problems)
        limit = LIMITS[os.path.splitext(path)[1]]
        if len(lines) > limit and not is_test(path):
            sizes[path] = len(lines)
        for first, length in functions(lines):
            if length > FUNCTION_LINES and not is_test(path):
                name = lines[first - 1].strip().split("(")[0].split()[-1]
                sizes[f"{path}:{name}"] = max(length, sizes.get(f"{path}:{name}", 0))
    if "--write-sizes" in sys.argv:
        with open(SIZES, "w", encoding="utf-8") as file:
            file.write("".join(f"{key} {value}\n" for key, value in sorted(sizes.items())))
        return 0
    allowed = {}
    if os.path.exists(SIZES):
        with open(SIZES, encoding="utf-8") as file:
            allowed = {key: int(value) for key, value in (line.rsplit(" ", 1) for line in file)}
    for key, value in sorted(sizes.items()):
        if value > allowed.get(key, 0):
            problems.append(f"{key}: {value} lines; split it by concept (listed offenders may only shrink)")
    rooms = [f"core/{room}" for room in os.listdir(f"{REPO}/core")]
    rooms += [f"plugins/{kind}/{name}" for kind in os.listdir(f"{REPO}/plugins")
              if kind not in ("lib", "CMakeLists.txt") for name in os.listdir(f"{REPO}/plugins/{kind}")]
    for room in rooms:
        if os.path.isdir(f"{REPO}/{room}") and not os.path.exists(f"{REPO}/{room}/README.md"):
            problems.append(f"{room}: has no README.md (what it owns, messages, limits, failure modes, try it)")
    print("\n".join(problems) if problems else "tidy")
    return 1 if problems else 0


sys.exit(main())
