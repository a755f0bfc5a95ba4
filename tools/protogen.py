#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the data in proto/ into C at build time. Output depends only on the input, never on time or hash order.

    protogen.py errors proto/errors.txt OUT.inc             rows of the Kafka error table
    protogen.py messages NAME OUT.h OUT.c SCHEMA...         structs, tables and wrappers; proto/README has the notation

NAME prefixes what is not named after a message: the tables NAME_schema, NAME_requests, NAME_responses, NAME_records and
the enum of keys.
"""
import re
import sys


def errors(source, target):
    rows = []
    for number, line in enumerate(open(source, encoding="utf-8"), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) > 3 or (len(words) == 3 and words[2] != "retriable"):
            sys.exit(f"{source}:{number}: expected: code name [retriable]")
        rows.append((int(words[0]), words[1], len(words) == 3))
    rows.sort()
    with open(target, "w", encoding="utf-8") as out:
        for code, name, retriable in rows:
            out.write(f'    {{{code}, {"true" if retriable else "false"}, "{name}"}},\n')


OPEN = 255
NO_TAG = 65535
# type: (kind, C type, least bytes on the wire)
PRIMITIVES = {
    "bool": ("BOOL", "bool", 1),
    "i8": ("I8", "int8_t", 1),
    "i16": ("I16", "int16_t", 2),
    "u16": ("U16", "uint16_t", 2),
    "i32": ("I32", "int32_t", 4),
    "i64": ("I64", "int64_t", 8),
    "f64": ("F64", "double", 8),
    "uuid": ("UUID", "struct uuid", 16),
    "string": ("STRING", "struct bytes", 1),
    "bytes": ("BYTES", "struct bytes", 1),
    "records": ("RECORDS", "struct records", 1),
}
CONSTANTS = {"false": 0, "true": 1}


def fail(place, what):
    sys.exit(f"{place}: {what}")


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", name).lower()


def versions(text, place):
    match = re.fullmatch(r"(\d+)(\+|-(\d+))?", text)
    if not match:
        fail(place, f"expected versions N, N-M or N+, not {text}")
    low = int(match[1])
    high = OPEN if match[2] == "+" else int(match[3]) if match[3] else low
    if high < low or low >= OPEN:
        fail(place, f"empty range {text}")
    return low, high


class Field:
    def __init__(self, words, place):
        if len(words) < 3 or not re.fullmatch(r"[a-z][a-z0-9_]*", words[0]):
            fail(place, "expected: name type versions [null V] [tag N [V]] [flexible none] [= default]")
        self.place = place
        self.name = words[0]
        match = re.fullmatch(r"(\??)((?:\[\])?)([a-z][a-z0-9_]*)", words[1])
        if not match:
            fail(place, f"no such type: {words[1]}")
        self.array, self.type = bool(match[2]), match[3]
        self.low, self.high = versions(words[2], place)
        self.null = (self.low, self.high) if match[1] else (1, 0)
        self.tag, self.tag_low, self.compact = NO_TAG, 0, True
        self.default, self.default_null = 0, False
        self.attributes(words[3:])
        if match[1] and self.type not in ("string", "bytes", "records") and self.primitive() and not self.array:
            fail(place, f"{self.type} cannot be null")
        if match[1] and not self.primitive() and not self.array:
            self.default_null = True

    def attributes(self, words):
        while words:
            word = words.pop(0)
            if word == "null" and words and self.null != (1, 0):
                self.null = versions(words.pop(0), self.place)
            elif word == "tag" and words:
                self.tag, self.tag_low = int(words.pop(0)), self.low
                if self.tag >= NO_TAG:
                    fail(self.place, f"tags end at {NO_TAG - 1}")
                if words and words[0][0].isdigit():
                    self.tag_low = versions(words.pop(0), self.place)[0]
            elif word == "flexible" and words and words.pop(0) == "none":
                self.compact = False
            elif word == "=" and words:
                self.initial(words.pop(0))
            else:
                fail(self.place, f"unexpected: {word}")

    def initial(self, text):
        if text == "null":
            if self.null == (1, 0):
                fail(self.place, "default null, but the field may not be null")
            self.default_null = True
        elif self.array or self.type not in ("bool", "i8", "i16", "u16", "i32", "i64"):
            fail(self.place, f"{self.type} takes no default but null")
        else:
            self.default = CONSTANTS[text] if text in CONSTANTS else int(text, 0)

    def primitive(self):
        return self.type in PRIMITIVES


class Struct:
    def __init__(self, name):
        self.name, self.fields, self.done = name, [], False


class Message:
    def __init__(self, words, place):
        self.place = place
        self.kind, self.name = words[0], words[1]
        self.key, self.flexible = -1, OPEN
        rest = words[2:]
        suffix = {"request": "_request", "response": "_response", "record": "_record"}.get(self.kind, "")
        self.c = snake(self.name) + suffix
        if self.kind == "record":
            self.flexible = 0
        while rest:
            if len(rest) < 2:
                fail(place, f"{rest[0]} needs a value")
            word, value = rest.pop(0), rest.pop(0)
            if word == "key":
                self.key = int(value)
            elif word == "versions":
                self.low, self.high = versions(value, place)
            elif word == "flexible":
                self.flexible = OPEN if value == "none" else versions(value, place)[0]
            else:
                fail(place, f"unexpected: {word}")
        if self.high == OPEN:
            fail(place, "a message needs its last version")
        if self.kind in ("request", "response", "record") and self.key < 0:
            fail(place, "a key is missing")
        self.root = Struct(self.c)
        self.structs = {}

    def find(self, name):
        return self.structs.setdefault(name, Struct(f"{self.c}_{name}"))

    def check(self):
        for struct in [self.root, *self.structs.values()]:
            if struct is not self.root and not struct.done:
                fail(self.place, f"{struct.name} has no fields")
            names = [f.name for f in struct.fields]
            tags = [f.tag for f in struct.fields if f.tag != NO_TAG]
            if len(set(names)) != len(names) or len(set(tags)) != len(tags):
                fail(self.place, f"{struct.name}: a name or tag is used twice")
            for f in struct.fields:
                if f.tag != NO_TAG and f.tag_low < self.flexible:
                    fail(f.place, "tagged before the message is flexible")


def parse(path):
    messages, message, stack = [], None, []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        place = f"{path}:{number}"
        text = line.split("#")[0].rstrip()
        words = text.split()
        if not words:
            continue
        indent = len(text) - len(text.lstrip())
        if indent == 0:
            if words[0] not in ("request", "response", "data", "header", "record") or len(words) < 4:
                fail(place, "expected: request|response|data|header|record Name [key N] versions V [flexible V]")
            message = Message(words, place)
            messages.append(message)
            stack = [(0, message.root)]
            continue
        if message is None or indent % 2:
            fail(place, "odd indentation, or a field outside a message")
        while stack[-1][0] >= indent:
            stack.pop()
        if indent != stack[-1][0] + 2:
            fail(place, "indented too far")
        if words[0] == "struct" and len(words) == 2:
            struct = message.find(words[1])
        else:
            field = Field(words, place)
            stack[-1][1].fields.append(field)
            stack[-1][1].done = True
            if field.primitive():
                continue
            struct = message.find(field.type)
        stack.append((indent, struct))
    for message in messages:
        message.check()
    return messages


def ordered(message):
    """Structs of a message, those used by others first."""
    result = []

    def visit(struct, path):
        if struct in path:
            fail(message.place, f"{struct.name} contains itself")
        for field in struct.fields:
            if not field.primitive():
                visit(message.structs[field.type], path + [struct])
        if struct not in result:
            result.append(struct)

    visit(message.root, [])
    unused = [s.name for s in message.structs.values() if s not in result]
    if unused:
        fail(message.place, f"unused: {', '.join(unused)}")
    return result


def least_bytes(message, struct, low, high):
    """The fewest bytes the struct takes in any of the versions low to high."""
    best = None
    for version in range(max(low, message.low), min(high, message.high) + 1):
        flexible = version >= message.flexible
        total = 1 if flexible else 0
        for field in struct.fields:
            if not field.low <= version <= field.high or (field.tag != NO_TAG and version >= field.tag_low):
                continue
            null = field.null[0] <= version <= field.null[1]
            if field.array:
                total += 1 if flexible else 4
            elif field.primitive():
                plain = {"string": 2, "bytes": 4, "records": 4}.get(field.type)
                total += plain if plain and not (flexible and field.compact) else PRIMITIVES[field.type][2]
            elif null:
                total += 1
            else:
                total += least_bytes(message, message.structs[field.type], version, version)
        best = total if best is None else min(best, total)
    return best or 0


def c_member(message, field):
    base = PRIMITIVES[field.type][1] if field.primitive() else f"struct {message.c}_{field.type}"
    if field.array:
        return f"    {base} *{field.name};\n    uint32_t {field.name}_count;\n"
    star = "*" if not field.primitive() and field.null != (1, 0) else ""
    return f"    {base} {star}{field.name};\n"


class Output:
    """Collects the rows of all messages; equal texts and defaults are stored once."""

    def __init__(self, name):
        self.name = name
        self.fields, self.layouts, self.texts, self.text_bytes = [], [], {}, 0
        self.defaults = [0]
        self.header, self.rows = [], []

    def text(self, name):
        if name not in self.texts:
            self.texts[name] = self.text_bytes
            self.text_bytes += len(name) + 1
        return self.texts[name]

    def default(self, value):
        if value not in self.defaults:
            self.defaults.append(value)
        return self.defaults.index(value)

    def message(self, message):
        indexes = {}
        for struct in ordered(message):
            self.header.append(f"struct {struct.name} {{\n"
                               + "".join(c_member(message, f) for f in struct.fields)
                               + ("" if struct.fields else "    char nothing;\n") + "};\n")
            first = len(self.fields)
            for field in struct.fields:
                self.field(message, struct, field, indexes)
            indexes[struct.name] = len(self.layouts)
            least = max(1, least_bytes(message, struct, message.low, message.high))
            self.layouts.append(f"    {{{first}, {len(struct.fields)}, sizeof(struct {struct.name}), {least}}},\n")
        name = message.c
        self.rows.append(f'const struct schema_message {name}_message = {{&{self.name}_schema, "{message.name}", '
                         f"{message.key}, {indexes[name]}, {message.low}, {message.high}, {message.flexible}}};\n")
        self.header.append(WRAPPERS.format(name=name, low=message.low, high=message.high))
        self.header += [NESTED.format(name=name, struct=struct, layout=layout)
                        for struct, layout in indexes.items() if struct != name]

    def field(self, message, struct, field, indexes):
        kind = PRIMITIVES[field.type][0] if field.primitive() else "STRUCT"
        layout = 0 if field.primitive() else indexes[message.structs[field.type].name]
        flags = [flag for flag, on in (("SCHEMA_ARRAY", field.array), ("SCHEMA_NULLABLE", field.null != (1, 0)),
                                       ("SCHEMA_DEFAULT_NULL", field.default_null),
                                       ("SCHEMA_NOT_COMPACT", not field.compact)) if on]
        self.fields.append(
            f"    {{{self.text(field.name)}, offsetof(struct {struct.name}, {field.name}), {layout}, SCHEMA_{kind}, "
            f"{' | '.join(flags) or 0}, {field.low}, {field.high}, {field.null[0]}, {field.null[1]}, {field.tag}, "
            f"{field.tag_low}, {self.default(field.default)}}},\n")


WRAPPERS = """
extern const struct schema_message {name}_message; // versions {low} to {high}
static inline void {name}_init(struct {name} *m)
{{
    schema_init(&{name}_message, m);
}}
static inline enum rc {name}_decode(struct dec *d, int16_t version, struct arena *a, struct {name} *m)
{{
    return schema_decode(&{name}_message, d, version, a, m);
}}
static inline void {name}_encode(struct enc *e, int16_t version, const struct {name} *m)
{{
    schema_encode(&{name}_message, e, version, m);
}}
"""

NESTED = """static inline void {struct}_init(struct {struct} *m)
{{
    schema_init_nested(&{name}_message, {layout}, m);
}}
"""


def key_enum(name, messages):
    """API_PRODUCE = 0, PEER_HELLO = 1000 or METADATA_TOPIC_RECORD = 2: one enum a group of messages with keys."""
    text = []
    for kind, prefix, suffix in (("request", "API_" if name == "kafka" else f"{name.upper()}_", ""), ("record", f"{name.upper()}_", "_RECORD")):
        rows = sorted((m.key, m) for m in messages if m.kind == kind)
        if len({key for key, _ in rows}) != len(rows):
            sys.exit(f"{name}: a {kind} key is used twice")
        if rows:
            text.append("enum {\n" + "".join(f"    {prefix}{snake(m.name).upper()}{suffix} = {key},\n"
                                             for key, m in rows) + "};\n")
    return "\n".join(text)


def tables(name, messages):
    """Pointers to the messages of each kind, by key; declarations and definitions."""
    declared, defined = "", ""
    for kind in ("request", "response", "record"):
        rows = sorted((m.key, m.c) for m in messages if m.kind == kind)
        if rows:
            array = f"const struct schema_message *const {name}_{kind}s"
            declared += f"extern {array}[{len(rows)}]; // by key\n"
            defined += f"{array}[{len(rows)}] = {{\n" + "".join(f"    &{c}_message,\n" for _, c in rows) + "};\n"
            if kind == "record":
                union = "".join(f"    struct {c} {c.removesuffix('_record')};\n" for _, c in rows)
                declared += f"\n// Room for any of the records.\nunion {name}_record {{\n{union}}};\n"
    every = f"const struct schema_message *const {name}_messages"
    declared += f"extern {every}[{len(messages)}]; // all, in the order of the sources\n"
    defined += f"{every}[{len(messages)}] = {{\n" + "".join(f"    &{m.c}_message,\n" for m in messages) + "};\n"
    return declared, defined


def generate(name, header, source, paths):
    messages = [m for path in paths for m in parse(path)]
    names = [m.c for m in messages]
    if len(set(names)) != len(names):
        sys.exit(f"{name}: a message is defined twice")
    out = Output(name)
    for message in messages:
        out.message(message)
    declared, defined = tables(name, messages)
    banner = "// SPDX-License-Identifier: Apache-2.0\n//\n// Made by tools/protogen.py from proto/; not to be edited.\n"
    with open(header, "w", encoding="utf-8") as h:
        h.write(f'{banner}#pragma once\n\n#include "wire/schema.h"\n\n{key_enum(name, messages)}\n')
        h.write("\n".join(out.header) + "\n" + declared)
    texts = "".join(f'    "{text}\\0"\n' for text in out.texts)
    with open(source, "w", encoding="utf-8") as c:
        c.write(f'{banner}#include "{include_name(header)}"\n\n#include <stddef.h>\n\n')
        c.write(f"static const struct schema_field fields[] = {{\n{''.join(out.fields)}}};\n\n")
        c.write(f"static const struct schema_layout layouts[] = {{\n{''.join(out.layouts)}}};\n\n")
        c.write(f"static const int64_t defaults[] = {{{', '.join(map(c_integer, out.defaults))}}};\n\n")
        c.write(f"static const char text[] =\n{texts};\n\n")
        c.write(f"static const struct schema {name}_schema = {{fields, layouts, defaults, text}};\n\n")
        c.write("".join(out.rows) + "\n" + defined)


def c_integer(value):
    return f"INT64_C({value})" if value > -(2**63) else "INT64_MIN"


def include_name(header):
    """Generated headers lie in <build>/src/<room>/ and are included as <room>/<name>.h."""
    return "/".join(header.replace("\\", "/").split("/")[-2:])


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "errors":
        errors(sys.argv[2], sys.argv[3])
    elif len(sys.argv) > 5 and sys.argv[1] == "messages":
        generate(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
