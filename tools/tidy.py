#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what is never right, and lists what grows.

Fails on: an include from a room to one it may not use, a banned function, a source file that no meson.build names, a
room missing from src/README.md, a missing SPDX line, a system call outside src/io, a configuration key that is called used
and read nowhere, or the other way round.
Prints (without failing) the longest files and functions, so that growth is seen.

    tools/tidy.py [--long]
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# room -> rooms it may include (its own is always allowed); DESIGN: layers
GROUND = {"base"}
MODEL = GROUND | {"model"}
WIRE = MODEL | {"wire"}
LAYERS = {
    "base": set(),
    "model": GROUND,
    "wire": MODEL,
    "raft": WIRE,
    "meta": WIRE,
    "repl": WIRE,
    "group": WIRE,
    "txn": WIRE,
    "io": GROUND,
    "shard": {"base", "io"},
    "store": WIRE | {"io"},
    "engine": WIRE | {"raft", "meta", "repl", "group", "txn", "io", "shard", "store"},
}
LAYERS["broker"] = LAYERS["engine"] | {"engine"}
LAYERS["client"] = WIRE | {"io", "shard"}
LAYERS["http"] = LAYERS["engine"] | {"engine"}
LAYERS["server"] = LAYERS["broker"] | {"broker", "http"}
LAYERS["cli"] = LAYERS["client"] | {"client", "store", "meta"}

BANNED = re.compile(r"\b(sprintf|vsprintf|strcpy|strcat|strtok|gets|atoi|atol|atoll|alloca|rand|srand)\s*\(")
SYSTEM_HEADERS = re.compile(
    r"#\s*include\s*<(sys/socket|sys/epoll|sys/eventfd|sys/stat|sys/mman|sys/time|sys/statfs|sys/statvfs|netinet/.*|"
    r"arpa/.*|netdb|fcntl|unistd|pthread|sched|poll|dirent|liburing|signal|time|linux/.*)\.?h?>"
)
MAIN_MAY = {"src/main.c"}


def files(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout.split("\n")
    return sorted(f for f in out if f and (ROOT / f).is_file())


def check_includes(problems):
    for name in files("src/*.c", "src/*.h"):
        parts = name.split("/")
        room = parts[1] if len(parts) > 2 else None
        text = (ROOT / name).read_text(encoding="utf-8")
        for number, line in enumerate(text.split("\n"), 1):
            if SYSTEM_HEADERS.search(line) and room != "io" and name not in MAIN_MAY:
                problems.append(f"{name}:{number}: only src/io talks to the system: {line.strip()}")
            m = re.match(r'\s*#\s*include\s+"([a-z_]+)/', line)
            if not m or room is None:
                continue
            if room not in LAYERS:
                problems.append(f"{name}: room '{room}' has no level in tools/tidy.py")
                break
            if m[1] != room and m[1] not in LAYERS[room]:
                problems.append(f"{name}:{number}: {room} may not include {m[1]}")


def check_text(problems):
    for name in files("src/*.c", "src/*.h", "test/*.c", "test/*.h"):
        text = (ROOT / name).read_text(encoding="utf-8")
        if "SPDX-License-Identifier: Apache-2.0" not in text[:200]:
            problems.append(f"{name}: no SPDX line at the top")
        if name.startswith("src/"):
            for number, line in enumerate(text.split("\n"), 1):
                code = re.sub(r'"(\\.|[^"\\])*"|//.*', "", line)
                if BANNED.search(code):
                    problems.append(f"{name}:{number}: banned function: {line.strip()}")
                if len(line) > 125:
                    problems.append(f"{name}:{number}: line of {len(line)} characters")


def check_registered(problems):
    build = "\n".join((ROOT / f).read_text(encoding="utf-8") for f in files("meson.build", "*/meson.build"))
    for name in files("src/*.c", "test/*.c"):
        stem = pathlib.PurePath(name).stem
        if not any(f"{word}'" in build for word in (f"{stem}.c", stem, stem.removesuffix("_fuzz"))):
            problems.append(f"{name}: named by no meson.build")


def check_map(problems):
    text = (ROOT / "src/README.md").read_text(encoding="utf-8")
    for room in sorted(p.name for p in (ROOT / "src").iterdir() if p.is_dir()):
        if f"`{room}`" not in text:
            problems.append(f"src/README.md: room '{room}' is missing")
    for room in re.findall(r"^\| L\d \| `([a-z]+)`", text, re.M):
        if not (ROOT / "src" / room).is_dir():
            problems.append(f"src/README.md: room '{room}' does not exist")


def check_keys(problems):
    """A broker key with CONFIG_USED is read by name outside its table; one with CONFIG_ACCEPTED is not, but for checks at the
    start, in src/server."""
    table = (ROOT / "src/meta/config_broker.c").read_text(encoding="utf-8")
    rows = re.findall(r'KEY\("([^"]+)",(?:(?!KEY\().)*?CONFIG_(USED|ACCEPTED|LATER)\b', table, re.S)
    readers = {}
    for name in files("src/*.c"):
        if not name.startswith(("src/cli/", "src/meta/config_broker", "src/meta/config_old")):
            for text in set(re.findall(r'"([a-z0-9.]+)"', (ROOT / name).read_text(encoding="utf-8"))):
                readers.setdefault(text, []).append(name)
    if len(rows) != table.count('    KEY("'):
        problems.append("src/meta/config_broker.c: rows that tools/tidy.py cannot read")
    for key, effect in rows:
        if effect == "USED" and key not in readers:
            problems.append(f"src/meta/config_broker.c: {key} is CONFIG_USED and read nowhere")
        for name in readers.get(key, []):
            if effect == "ACCEPTED" and not name.startswith("src/server/"):
                problems.append(f"{name}: reads {key}, which is said to have no effect")


def functions(text):
    """(name, lines) of every function: a line that starts in column 0 before a lone '{', up to the lone '}'."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if line != "{":
            continue
        head = next((lines[j] for j in range(i - 1, max(i - 8, -1), -1) if re.match(r"\w.*\(", lines[j])), "")
        end = next((j for j in range(i, len(lines)) if lines[j] == "}"), i)
        m = re.search(r"(\w+)\(", head)
        if m:
            yield m[1], end - i + 1


def growth():
    rows, longest = [], []
    for name in files("src/*.c", "src/*.h", "tools/*.py"):
        text = (ROOT / name).read_text(encoding="utf-8")
        rows.append((text.count("\n"), name))
        if name.endswith(".c"):
            longest += [(n, f"{f} in {name}") for f, n in functions(text)]
    return sorted(rows, reverse=True)[:8], sorted(longest, reverse=True)[:8]


def main():
    problems = []
    for check in (check_includes, check_text, check_registered, check_map, check_keys):
        check(problems)
    big, longest = growth()
    if "--long" in sys.argv:
        print("longest files:", *(f"  {n:5} {f}" for n, f in big), sep="\n")
        print("longest functions:", *(f"  {n:5} {f}" for n, f in longest), sep="\n")
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(f"tidy: {len(problems)} problem(s)")
    print("tidy: clean")


if __name__ == "__main__":
    main()
