// SPDX-License-Identifier: Apache-2.0

// Package cases is what the Go clients of the suite share: the records every client writes (the table in ../../README.md), the
// comparison of what comes back, and the report, one JSON line a case.
package cases

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"
)

// Sizes and counts that every client of the suite uses.
const (
	Partitions         = 3
	Records            = 60
	LargeValueBytes    = 1048400 // with batch and record headers just under message.max.bytes (1048588)
	TooLargeValueBytes = 1100000
	FromOffset         = 7
	FromRecord         = 30 // the timestamp case starts at this record's time
)

// Codecs in the order in which they are tried.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Header is a record header; a nil value is null.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record as written or as read back; nil is null, an empty slice is empty.
type Record struct {
	Partition   int
	Key, Value  []byte
	Headers     []Header
	TimestampMs int64
}

// Options say what a client cannot express.
type Options struct {
	NoNullHeaders bool // headers cannot be null
	NoEmpty       bool // null and empty keys and values are read back as the same thing
}

// BaseMs is an hour ago: neither retention nor the bound on future timestamps matters.
func BaseMs() int64 { return (time.Now().Unix() - 3600) * 1000 }

// Data is the table of sixty records.
func Data(baseMs int64, o Options) []Record {
	var out []Record
	for i := 0; i < Records; i++ {
		r := Record{Partition: i % Partitions, TimestampMs: baseMs + int64(i)*1000}
		switch {
		case i%5 == 0:
		case i%11 == 1:
			r.Key = []byte{}
		default:
			r.Key = []byte(fmt.Sprintf("key-%d", i))
		}
		switch {
		case i%7 == 3 && r.Key != nil:
		case i%13 == 2:
			r.Value = []byte{}
		default:
			r.Value = append([]byte(fmt.Sprintf("value-%d ", i)), bytes.Repeat([]byte("abcdefghij"), 20)...)
		}
		if i%4 == 0 {
			r.Headers = []Header{{"kind", []byte("compat")}, {"number", []byte(fmt.Sprint(i))}, {"kind", []byte("again")},
				{"empty", []byte{}}, {"bytes", []byte{0, 0xff, 0x80}}}
			if i%8 == 0 && !o.NoNullHeaders {
				r.Headers = append(r.Headers, Header{"null", nil})
			}
		}
		out = append(out, r)
	}
	return out
}

// LargeValue is bytes that no codec makes smaller, the same in every run.
func LargeValue(size int) []byte {
	out, x := make([]byte, 0, size+8), uint64(88172645463325252)
	for len(out) < size {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out = binary.LittleEndian.AppendUint64(out, x)
	}
	return out[:size]
}

func same(a, b []byte, o Options) bool {
	return bytes.Equal(a, b) && (o.NoEmpty || (a == nil) == (b == nil))
}

func sameRecord(w, g Record, o Options) bool {
	if !same(w.Key, g.Key, o) || !same(w.Value, g.Value, o) || w.TimestampMs != g.TimestampMs ||
		len(w.Headers) != len(g.Headers) {
		return false
	}
	for i := range w.Headers {
		if w.Headers[i].Key != g.Headers[i].Key || !bytes.Equal(w.Headers[i].Value, g.Headers[i].Value) {
			return false
		}
	}
	return true
}

func (r Record) String() string {
	show := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%.40q", b)
	}
	return fmt.Sprintf("{p%d key=%s value=%s headers=%d ts=%d}", r.Partition, show(r.Key), show(r.Value), len(r.Headers), r.TimestampMs)
}

// Compare wants the same records in the same order in every partition.
func Compare(want, got []Record, o Options) error {
	split := func(all []Record) map[int][]Record {
		m := map[int][]Record{}
		for _, r := range all {
			m[r.Partition] = append(m[r.Partition], r)
		}
		return m
	}
	w, g := split(want), split(got)
	for p := 0; p < Partitions; p++ {
		if len(w[p]) != len(g[p]) {
			return fmt.Errorf("partition %d: wrote %d records, read %d", p, len(w[p]), len(g[p]))
		}
		for i := range w[p] {
			if !sameRecord(w[p][i], g[p][i], o) {
				return fmt.Errorf("partition %d record %d: wrote %v, read %v", p, i, w[p][i], g[p][i])
			}
		}
	}
	return nil
}

// Partition returns the records of one partition.
func Partition(all []Record, p int) []Record {
	var out []Record
	for _, r := range all {
		if r.Partition == p {
			out = append(out, r)
		}
	}
	return out
}

// Skip is returned by a case that the client cannot do.
type Skip string

func (s Skip) Error() string { return string(s) }

// Report runs cases for one client.
type Report struct{ Client, Bootstrap, Prefix string }

// NewReport reads HOST:PORT PREFIX NAME from the command line.
func NewReport() *Report {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: compat HOST:PORT PREFIX NAME [--groups]")
		os.Exit(2)
	}
	return &Report{Client: os.Args[3], Bootstrap: os.Args[1], Prefix: os.Args[2]}
}

// Groups says whether the broker has consumer groups.
func (r *Report) Groups() bool { return len(os.Args) > 4 && os.Args[4] == "--groups" }

// Run runs one case and prints its line.
func (r *Report) Run(name string, fn func() (string, error)) { r.run(name, "", "", fn) }

// RunCodec is Run for a case after which every batch of the topic must carry the codec.
func (r *Report) RunCodec(codec string, fn func(topic, codec string) error) {
	topic := r.Prefix + "-codec-" + codec
	r.run("produce-"+codec, topic, codec, func() (string, error) { return "", fn(topic, codec) })
}

func (r *Report) run(name, topic, codec string, fn func() (string, error)) {
	line := map[string]string{"client": r.Client, "case": name, "result": "ok"}
	detail, err := func() (detail string, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		return fn()
	}()
	var skip Skip
	switch {
	case errors.As(err, &skip):
		line["result"], line["detail"] = "skipped", string(skip)
	case err != nil:
		line["result"], line["detail"] = "failed", err.Error()
	default:
		line["detail"] = detail
		if codec != "" {
			line["topic"], line["codec"] = topic, codec
		}
	}
	out, _ := json.Marshal(line)
	fmt.Println(string(out))
}

// Retry asks until the answer is yes or ten seconds are over.
func Retry(fn func() bool) bool {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if fn() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// SortedKeys is for messages.
func SortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
