// SPDX-License-Identifier: Apache-2.0

// The compatibility cases with segmentio/kafka-go, through its old connection API (Dial, Reader) as well as its newer
// Client and Writer. Built twice: with the newest release and with 0.4.47, which hard-codes old versions.
//
//	kafka-go HOST:PORT PREFIX NAME [--groups]
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"weir/compat/cases"
)

var (
	report  = cases.NewReport()
	baseMs  = cases.BaseMs()
	options = cases.Options{NoEmpty: true} // it cannot write an empty key or value: nil and empty are null to it
	data    = cases.Data(baseMs, cases.Options{NoNullHeaders: true})
	dialer  = &kafka.Dialer{ClientID: "kafka-go", Timeout: 10 * time.Second}
	client  = &kafka.Client{Addr: kafka.TCP(report.Bootstrap), Timeout: 20 * time.Second, Transport: transport}
	codecs  = map[string]kafka.Compression{"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}

	transport = &kafka.Transport{ClientID: "kafka-go", MetadataTTL: time.Second}
)

func deadline() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	context.AfterFunc(ctx, cancel) // the case is over long before; nothing else would call it
	return ctx
}

// byHand sends each message to the partition that the message carries.
type byHand struct{}

func (byHand) Balance(m kafka.Message, _ ...int) int { return m.WriterData.(int) }

// create uses the connection API: CreateTopics version 0 in 0.4.47.
func create(topic string, partitions int, config map[string]string) error {
	c, err := dialer.DialContext(deadline(), "tcp", report.Bootstrap)
	if err != nil {
		return err
	}
	defer c.Close()
	t := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for k, v := range config {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: k, ConfigValue: v})
	}
	if err := c.CreateTopics(t); err != nil {
		return err
	}
	if !cases.Retry(func() bool { return len(partitionsOf(topic)) == partitions }) {
		return fmt.Errorf("%s: %d partitions", topic, len(partitionsOf(topic)))
	}
	return nil
}

func partitionsOf(topic string) []kafka.Partition {
	found, err := dialer.LookupPartitions(deadline(), "tcp", report.Bootstrap, topic)
	if err != nil {
		return nil
	}
	return found
}

func produce(topic string, records []cases.Record, set ...func(*kafka.Writer)) error {
	// Its own transport: a shared one keeps its metadata for a while and does not know a topic that is new.
	own := &kafka.Transport{ClientID: "kafka-go"}
	defer own.CloseIdleConnections()
	w := &kafka.Writer{Addr: kafka.TCP(report.Bootstrap), Topic: topic, Balancer: byHand{}, BatchTimeout: 20 * time.Millisecond,
		RequiredAcks: kafka.RequireAll, Transport: own, MaxAttempts: 10}
	for _, f := range set {
		f(w)
	}
	var out []kafka.Message
	for _, r := range records {
		m := kafka.Message{Key: r.Key, Value: r.Value, Time: time.UnixMilli(r.TimestampMs), WriterData: r.Partition}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		out = append(out, m)
	}
	err := w.WriteMessages(deadline(), out...)
	var several kafka.WriteErrors
	if errors.As(err, &several) {
		for _, one := range several {
			if one != nil {
				err = one
			}
		}
	}
	return errors.Join(err, w.Close())
}

func asRecord(m kafka.Message) cases.Record {
	r := cases.Record{Partition: m.Partition, Key: m.Key, Value: m.Value, TimestampMs: m.Time.UnixMilli()}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, cases.Header{Key: h.Key, Value: h.Value})
	}
	return r
}

// consume reads the wanted records; position places the reader of a partition.
func consume(topic string, want []cases.Record, position func(*kafka.Reader) error) error {
	var got []cases.Record
	for p := 0; p < cases.Partitions; p++ {
		count := len(cases.Partition(want, p))
		if count == 0 {
			continue
		}
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{report.Bootstrap}, Topic: topic, Partition: p, Dialer: dialer,
			MinBytes: 1, MaxBytes: 2 << 20, MaxWait: 500 * time.Millisecond, MaxAttempts: 5})
		err := position(r)
		for i := 0; i < count && err == nil; i++ {
			var m kafka.Message
			if m, err = r.ReadMessage(deadline()); err == nil {
				got = append(got, asRecord(m))
			}
		}
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("partition %d, %d records read: %w", p, len(got), err)
		}
	}
	return cases.Compare(want, got, options)
}

func start(r *kafka.Reader) error { return r.SetOffset(kafka.FirstOffset) }

func roundTrip(topic string, set ...func(*kafka.Writer)) error {
	if err := create(topic, cases.Partitions, nil); err != nil {
		return err
	}
	if err := produce(topic, data, set...); err != nil {
		return err
	}
	return consume(topic, data, start)
}

// connection is the oldest API: one partition, messages written and read on a connection.
func connection() (string, error) {
	topic := report.Prefix + "-connection"
	if err := create(topic, 1, nil); err != nil {
		return "", err
	}
	c, err := dialer.DialLeader(deadline(), "tcp", report.Bootstrap, topic, 0)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	for _, text := range []string{"one", "two", "three"} {
		if _, err := c.WriteCompressedMessages(nil, kafka.Message{Value: []byte(text), Time: time.UnixMilli(baseMs)}); err != nil {
			return "", err
		}
	}
	first, last, err := c.ReadOffsets()
	if err != nil || first != 0 || last != 3 {
		return "", fmt.Errorf("offsets %d to %d: %v", first, last, err)
	}
	b := c.ReadBatch(1, 1<<20)
	for _, text := range []string{"one", "two", "three"} {
		m, err := b.ReadMessage()
		if err != nil || string(m.Value) != text {
			return "", fmt.Errorf("read %q: %v", m.Value, err)
		}
	}
	return "3 messages", b.Close()
}

func produceCases() {
	for _, codec := range cases.Codecs {
		report.RunCodec(codec, func(topic, codec string) error {
			return roundTrip(topic, func(w *kafka.Writer) { w.Compression = codecs[codec] })
		})
	}
	large := []cases.Record{{Key: []byte("large"), Value: cases.LargeValue(cases.LargeValueBytes), TimestampMs: baseMs}}
	tooLarge := []cases.Record{{Value: cases.LargeValue(cases.TooLargeValueBytes), TimestampMs: baseMs}}
	raised := func(w *kafka.Writer) { w.BatchBytes, w.MaxAttempts = 4<<20, 1 }
	report.Run("large-message", func() (string, error) {
		topic := report.Prefix + "-large"
		if err := create(topic, 1, nil); err != nil {
			return "", err
		}
		if err := produce(topic, large, raised); err != nil {
			return "", err
		}
		return "", consume(topic, large, start)
	})
	report.Run("too-large-message", func() (string, error) {
		err := produce(report.Prefix+"-large", tooLarge, raised)
		if !errors.Is(err, kafka.MessageSizeTooLarge) {
			return "", fmt.Errorf("got %v", err)
		}
		return kafka.MessageSizeTooLarge.Title(), nil
	})
	report.Run("connection-api", connection)
	report.Run("auto-create", func() (string, error) {
		one := []cases.Record{{Key: []byte("k"), Value: []byte("auto"), TimestampMs: baseMs}}
		var err error
		cases.Retry(func() bool { // it gives up at the first answer that says "not yet", and leaves trying again to the caller
			err = produce(report.Prefix+"-auto", one, func(w *kafka.Writer) { w.AllowAutoTopicCreation = true })
			return !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, kafka.LeaderNotAvailable)
		})
		if err != nil {
			return "", err
		}
		return "", consume(report.Prefix+"-auto", one, start)
	})
	report.Run("idempotent", func() (string, error) {
		return "", cases.Skip("kafka-go has no idempotent producer")
	})
	for name, acks := range map[string]kafka.RequiredAcks{"0": kafka.RequireNone, "1": kafka.RequireOne, "all": kafka.RequireAll} {
		report.Run("acks-"+name, func() (string, error) {
			return "", roundTrip(report.Prefix+"-acks-"+name, func(w *kafka.Writer) { w.RequiredAcks = acks })
		})
	}
}

func main() {
	if group, name := report.Member(); name != "" {
		roam(report.Prefix, group, name)
	}
	report.Run("create-topic", func() (string, error) {
		return "", create(report.Prefix+"-main", cases.Partitions, map[string]string{"retention.ms": "86400000"})
	})
	produceCases()
	none := report.Prefix + "-codec-none"
	report.Run("consume-from-offset", func() (string, error) {
		return "", consume(none, cases.Partition(data, 1)[cases.FromOffset:], func(r *kafka.Reader) error { return r.SetOffset(cases.FromOffset) })
	})
	report.Run("consume-from-timestamp", func() (string, error) {
		return "", consume(none, data[cases.FromRecord:], func(r *kafka.Reader) error {
			return r.SetOffsetAt(deadline(), time.UnixMilli(baseMs+cases.FromRecord*1000))
		})
	})
	adminCases()
	if report.Groups() {
		groupCases()
	}
}
