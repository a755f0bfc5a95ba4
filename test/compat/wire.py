# SPDX-License-Identifier: Apache-2.0
"""The Kafka protocol in Python, for the raw cases and for checking golden bytes: reads proto/kafka/*.schema (notation:
proto/README) and encodes and decodes requests and responses as dictionaries. It is a second implementation on purpose:
it shares the schemas with the product and nothing else."""

import glob
import os
import re
import struct

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'proto')
FIXED = {'bool': '?', 'i8': 'b', 'i16': 'h', 'u16': 'H', 'i32': 'i', 'u32': 'I', 'i64': 'q', 'f64': 'd'}
EVER = (0, 32767)


class BadFrame(Exception):
    """The bytes are not what the schema says."""


def parse_range(text):
    """'2', '2-5', '2+' or 'none' as a pair of versions."""
    if text == 'none':
        return (1, 0)
    low, _, high = text.rstrip('+').partition('-')
    return (int(low), int(high) if high else EVER[1] if text.endswith('+') else int(low))


def within(version, versions):
    return versions[0] <= version <= versions[1]


class Field:
    """One line of a schema, with the fields of its struct."""

    def __init__(self, line):
        name, kind, versions, rest = re.match(r'(\S+)\s+(\S+)\s+(\S+)\s*(.*)$', line).groups()
        self.name = name
        self.nullable = EVER if '?' in kind else (1, 0)
        kind = kind.replace('?', '')
        self.array, self.kind = kind.startswith('[]'), kind.replace('[]', '')
        self.versions = parse_range(versions)
        self.tag, self.tagged = None, (1, 0)
        self.flexible = None
        self.default, self.has_default = None, False
        self.fields = []
        words = rest.split()
        while words:
            word = words.pop(0)
            if word == 'null':
                self.nullable = parse_range(words.pop(0))
            elif word == 'tag':
                self.tag, self.tagged = int(words.pop(0)), self.versions
                if words and re.match(r'\d', words[0]):
                    self.tagged = parse_range(words.pop(0))
            elif word == 'flexible':
                self.flexible = parse_range(words.pop(0))
            elif word == '=':
                self.has_default, self.default = True, words.pop(0)

    def default_value(self, structs):
        """The value of a field that nobody set."""
        if self.has_default:
            if self.default == 'null':
                return None
            if self.default in ('true', 'false'):
                return self.default == 'true'
            if self.kind == 'string':
                return self.default.strip('"').encode()
            return float(self.default) if self.kind == 'f64' else int(self.default, 0)
        if self.array:
            return []
        if self.kind in FIXED:
            return False if self.kind == 'bool' else 0
        if self.kind == 'uuid':
            return bytes(16)
        if self.kind in ('string', 'bytes', 'records'):
            return b''
        return {f.name: f.default_value(structs) for f in structs[self.kind]}


class Message:
    """A request, response or header: its fields, its structs, its versions."""

    def __init__(self, what, name, key, versions, flexible):
        self.what, self.name, self.key, self.versions, self.flexible = what, name, key, versions, flexible
        self.fields, self.structs = [], {}

    def encode(self, version, value):
        """Bytes of a body; what `value` leaves out has its default."""
        return Writer(self, version).struct(self.fields, value)

    def decode(self, version, data):
        """A body as a dictionary; raises BadFrame unless exactly all bytes are used."""
        reader = Reader(self, version, data)
        value = reader.struct(self.fields)
        if reader.at != len(data):
            raise BadFrame('%s v%d: %d bytes left over' % (self.name, version, len(data) - reader.at))
        return value


class Writer:
    def __init__(self, message, version):
        self.message, self.version = message, version
        self.flexible = within(version, message.flexible)

    def uvarint(self, value):
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
        return bytes(out)

    def length(self, kind, value, flexible):
        """Length or count in front of a string, bytes or array; None is null."""
        if flexible:
            return self.uvarint(0 if value is None else len(value) + 1)
        return struct.pack('>h' if kind == 'string' else '>i', -1 if value is None else len(value))

    def single(self, field, value, flexible, kind=None):
        kind = kind or field.kind
        if kind in FIXED:
            return struct.pack('>' + FIXED[kind], value)
        if kind == 'uuid':
            return value
        if kind in ('string', 'bytes', 'records'):
            value = value.encode() if isinstance(value, str) else value
            return self.length(kind, value, flexible) + (value or b'')
        return self.struct(self.message.structs[kind], value)

    def field(self, field, value):
        flexible = self.flexible if field.flexible is None else within(self.version, field.flexible)
        if field.array:
            return self.length('array', value, flexible) + b''.join(self.single(field, v, flexible) for v in value or [])
        if field.kind in self.message.structs and within(self.version, field.nullable):
            return b'\xff' if value is None else b'\x01' + self.single(field, value, flexible)
        return self.single(field, value, flexible)

    def struct(self, fields, value):
        out, tagged = [], []
        for f in fields:
            if not within(self.version, f.versions):
                continue
            default = f.default_value(self.message.structs)
            v = value.get(f.name, default)
            if within(self.version, f.tagged):
                if v != default:
                    tagged.append((f.tag, self.field(f, v)))
            else:
                out.append(self.field(f, v))
        if self.flexible:
            unknown = value.get('_tags', [])
            tagged = sorted(tagged + unknown)
            out.append(self.uvarint(len(tagged)))
            out += [self.uvarint(tag) + self.uvarint(len(data)) + data for tag, data in tagged]
        return b''.join(out)


class Reader:
    def __init__(self, message, version, data):
        self.message, self.version, self.data, self.at = message, version, data, 0
        self.flexible = within(version, message.flexible)

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise BadFrame('%s v%d: wants %d bytes at %d of %d' % (
                self.message.name, self.version, count, self.at, len(self.data)))
        self.at += count
        return self.data[self.at - count:self.at]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 28:
                raise BadFrame('varint too long')

    def length(self, kind, flexible):
        if flexible:
            return self.uvarint() - 1
        return struct.unpack('>h', self.take(2))[0] if kind == 'string' else struct.unpack('>i', self.take(4))[0]

    def single(self, field, flexible):
        kind = field.kind
        if kind in FIXED:
            return struct.unpack('>' + FIXED[kind], self.take(struct.calcsize('>' + FIXED[kind])))[0]
        if kind == 'uuid':
            return self.take(16)
        if kind in ('string', 'bytes', 'records'):
            count = self.length(kind, flexible)
            if count == -1:
                if not within(self.version, field.nullable):
                    raise BadFrame('%s v%d: %s is null' % (self.message.name, self.version, field.name))
                return None
            return self.take(count)
        return self.struct(self.message.structs[kind])

    def field(self, field):
        flexible = self.flexible if field.flexible is None else within(self.version, field.flexible)
        if field.array:
            count = self.length('array', flexible)
            if count == -1:
                if not within(self.version, field.nullable):
                    raise BadFrame('%s v%d: %s is null' % (self.message.name, self.version, field.name))
                return None
            if count < 0 or count > len(self.data) - self.at:
                raise BadFrame('%s v%d: %s counts %d' % (self.message.name, self.version, field.name, count))
            return [self.single(field, flexible) for _ in range(count)]
        if field.kind in self.message.structs and within(self.version, field.nullable):
            return None if self.take(1) == b'\xff' else self.single(field, flexible)
        return self.single(field, flexible)

    def struct(self, fields):
        value = {}
        for f in fields:
            if not within(self.version, f.versions) or within(self.version, f.tagged):
                value[f.name] = f.default_value(self.message.structs)
            else:
                value[f.name] = self.field(f)
        if self.flexible:
            self.tags(fields, value)
        return value

    def tags(self, fields, value):
        known = {f.tag: f for f in fields if within(self.version, f.versions) and within(self.version, f.tagged)}
        for _ in range(self.uvarint()):
            tag, size = self.uvarint(), self.uvarint()
            end = self.at + size
            if tag not in known:
                value.setdefault('_tags', []).append((tag, self.take(size)))
                continue
            value[known[tag].name] = self.field(known[tag])
            if self.at != end:
                raise BadFrame('%s v%d: tag %d is %d bytes, not %d' % (
                    self.message.name, self.version, tag, size, size + self.at - end))


def parse(path):
    """The messages of one schema file."""
    messages, stack = [], []
    with open(path) as file:
        lines = file.read().splitlines()
    for text in lines:
        line = text.split('#')[0].rstrip()
        if not line:
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        if depth == 0:
            words = line.split()
            option = dict(zip(words[2::2], words[3::2]))
            messages.append(Message(words[0], words[1], int(option.get('key', -1)), parse_range(option['versions']),
                                    parse_range(option.get('flexible', '0+' if words[0] == 'record' else 'none'))))
            stack = [messages[-1].fields]
            continue
        message, line = messages[-1], line.strip()
        del stack[depth:]
        if line.startswith('struct '):
            stack.append(message.structs.setdefault(line.split()[1], []))
            continue
        field = Field(line)
        stack[-1].append(field)
        if field.kind not in FIXED and field.kind not in ('uuid', 'string', 'bytes', 'records'):
            stack.append(message.structs.setdefault(field.kind, []))
    return messages


def load():
    """(requests, responses) by key, of all schema files."""
    requests, responses = {}, {}
    for path in sorted(glob.glob(os.path.join(PROTO, 'kafka', '*.schema'))):
        for message in parse(path):
            if message.what == 'request':
                requests[message.key] = message
            elif message.what == 'response':
                responses[message.key] = message
    return requests, responses


REQUESTS, RESPONSES = load()
KEYS = {message.name: key for key, message in REQUESTS.items()}


def request_frame(key, version, correlation_id, value, client_id=b'raw'):
    """A request without its length: header and body."""
    message = REQUESTS[key]
    header = struct.pack('>hhi', key, version, correlation_id)
    header += struct.pack('>h', -1) if client_id is None else struct.pack('>h', len(client_id)) + client_id
    if within(version, message.flexible):
        header += b'\0'
    return header + message.encode(version, value)


def decode_request(frame):
    """(key, version, correlation id, client id, body) of a frame without its length."""
    key, version, correlation, size = struct.unpack_from('>hhih', frame)
    at = 10 + max(size, 0)
    client_id = None if size < 0 else frame[10:at]
    if within(version, REQUESTS[key].flexible):
        if frame[at] != 0:
            raise BadFrame('tags in a request header')
        at += 1
    return key, version, correlation, client_id, REQUESTS[key].decode(version, frame[at:])


def response_header_bytes(key, version):
    """4, or 5 with the tags of a flexible header; ApiVersions always has the old one (KIP-511)."""
    return 5 if key != 18 and within(version, RESPONSES[key].flexible) else 4


def decode_response(key, version, frame):
    """(correlation id, body) of a frame without its length."""
    at = response_header_bytes(key, version)
    if at == 5 and frame[4:5] != b'\0':
        raise BadFrame('tags in a response header')
    return struct.unpack_from('>i', frame)[0], RESPONSES[key].decode(version, frame[at:])
