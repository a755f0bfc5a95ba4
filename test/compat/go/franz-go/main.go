// SPDX-License-Identifier: Apache-2.0

// The compatibility cases with franz-go.
//
//	franz-go HOST:PORT PREFIX NAME [--groups]
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/compat/cases"
)

var (
	report = cases.NewReport()
	baseMs = cases.BaseMs()
	data   = cases.Data(baseMs, cases.Options{})
	codecs = map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	admin *kadm.Client
)

func deadline() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	context.AfterFunc(ctx, cancel) // the case is over long before; nothing else would call it
	return ctx
}

func client(options ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(report.Bootstrap), kgo.ClientID("franz-go")}, options...)...)
	if err != nil {
		panic(err)
	}
	return c
}

func create(topic string, partitions int32, config map[string]*string) error {
	r, err := admin.CreateTopic(deadline(), partitions, 1, config, topic)
	return errors.Join(err, r.Err)
}

func produce(topic string, records []cases.Record, options ...kgo.Opt) error {
	c := client(append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20 * time.Millisecond)}, options...)...)
	defer c.Close()
	var out []*kgo.Record
	for _, r := range records {
		k := &kgo.Record{Topic: topic, Partition: int32(r.Partition), Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.TimestampMs)}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		out = append(out, k)
	}
	return c.ProduceSync(deadline(), out...).FirstErr()
}

func idempotenceOff(acks kgo.Acks) []kgo.Opt {
	return []kgo.Opt{kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite()}
}

func from(topic string, offsets map[int32]kgo.Offset) kgo.Opt {
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
}

func start(topic string) kgo.Opt {
	all := map[int32]kgo.Offset{}
	for p := int32(0); p < cases.Partitions; p++ {
		all[p] = kgo.NewOffset().AtStart()
	}
	return from(topic, all)
}

func read(c *kgo.Client, count int) ([]cases.Record, error) {
	var got []cases.Record
	ctx := deadline()
	for len(got) < count {
		fetches := c.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return got, fmt.Errorf("%d of %d records: %w", len(got), count, errs[0].Err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			r := cases.Record{Partition: int(k.Partition), Key: k.Key, Value: k.Value, TimestampMs: k.Timestamp.UnixMilli()}
			for _, h := range k.Headers {
				r.Headers = append(r.Headers, cases.Header{Key: h.Key, Value: h.Value})
			}
			got = append(got, r)
		})
	}
	return got, nil
}

func consume(want []cases.Record, options ...kgo.Opt) error {
	c := client(options...)
	defer c.Close()
	got, err := read(c, len(want))
	if err != nil {
		return err
	}
	return cases.Compare(want, got, cases.Options{})
}

func roundTrip(topic string, options ...kgo.Opt) error {
	if err := create(topic, cases.Partitions, nil); err != nil {
		return err
	}
	if err := produce(topic, data, options...); err != nil {
		return err
	}
	return consume(data, start(topic))
}

func fromTimestamp() (string, error) {
	topic := report.Prefix + "-codec-none"
	at := baseMs + cases.FromRecord*1000
	found, err := admin.ListOffsetsAfterMilli(deadline(), at, topic)
	if err = errors.Join(err, found.Error()); err != nil {
		return "", err
	}
	offsets := map[int32]kgo.Offset{}
	found.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = kgo.NewOffset().At(o.Offset) })
	if err := consume(data[cases.FromRecord:], from(topic, offsets)); err != nil {
		return "", err
	}
	after := map[int32]kgo.Offset{}
	for p := int32(0); p < cases.Partitions; p++ {
		after[p] = kgo.NewOffset().AfterMilli(at)
	}
	return "offsets by admin and by the consumer", consume(data[cases.FromRecord:], from(topic, after))
}

func produceCases() {
	for _, codec := range cases.Codecs {
		report.RunCodec(codec, func(topic, codec string) error {
			return roundTrip(topic, kgo.ProducerBatchCompression(codecs[codec]))
		})
	}
	report.Run("large-message", func() (string, error) {
		topic := report.Prefix + "-large"
		large := []cases.Record{{Key: []byte("large"), Value: cases.LargeValue(cases.LargeValueBytes), TimestampMs: baseMs}}
		if err := create(topic, 1, nil); err != nil {
			return "", err
		}
		if err := produce(topic, large, kgo.ProducerBatchMaxBytes(2<<20), kgo.ProducerBatchCompression(kgo.NoCompression())); err != nil {
			return "", err
		}
		return "", consume(large, from(topic, map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}))
	})
	report.Run("too-large-message", func() (string, error) {
		large := []cases.Record{{Value: cases.LargeValue(cases.TooLargeValueBytes), TimestampMs: baseMs}}
		err := produce(report.Prefix+"-large", large, kgo.ProducerBatchMaxBytes(4<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if !errors.Is(err, kerr.MessageTooLarge) {
			return "", fmt.Errorf("got %v", err)
		}
		return err.Error(), nil
	})
	report.Run("auto-create", func() (string, error) {
		one := []cases.Record{{Key: []byte("k"), Value: []byte("auto"), TimestampMs: baseMs}}
		if err := produce(report.Prefix+"-auto", one, kgo.AllowAutoTopicCreation()); err != nil {
			return "", err
		}
		return "", consume(one, from(report.Prefix+"-auto", map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}))
	})
	report.Run("idempotent", func() (string, error) { return "", roundTrip(report.Prefix + "-idempotent") })
	for name, acks := range map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()} {
		report.Run("acks-"+name, func() (string, error) {
			return "", roundTrip(report.Prefix+"-acks-"+name, idempotenceOff(acks)...)
		})
	}
}

func consumeCases() {
	topic := report.Prefix + "-codec-none"
	report.Run("consume-from-offset", func() (string, error) {
		return "", consume(cases.Partition(data, 1)[cases.FromOffset:], from(topic, map[int32]kgo.Offset{1: kgo.NewOffset().At(cases.FromOffset)}))
	})
	report.Run("consume-from-timestamp", fromTimestamp)
	report.Run("consume-read-committed", func() (string, error) {
		return "", consume(data, start(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	})
}

func main() {
	if group, name := report.Member(); name != "" {
		member(report.Prefix, group, name)
	}
	c := client()
	defer c.Close()
	admin = kadm.NewClient(c)
	report.Run("create-topic", func() (string, error) {
		return "", create(report.Prefix+"-main", cases.Partitions, map[string]*string{"retention.ms": kadm.StringPtr("86400000")})
	})
	produceCases()
	consumeCases()
	adminCases()
	if report.Groups() {
		groupCases()
	}
}
