// SPDX-License-Identifier: Apache-2.0

// The compatibility cases with sarama.
//
//	sarama HOST:PORT PREFIX NAME [--groups]
package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"weir/compat/cases"
)

var (
	report  = cases.NewReport()
	baseMs  = cases.BaseMs()
	options = cases.Options{NoEmpty: true} // its consumer reads null and empty as the same slice
	data    = cases.Data(baseMs, cases.Options{NoNullHeaders: true})
	codecs  = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}
	admin sarama.ClusterAdmin
)

func config(set ...func(*sarama.Config)) *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = "sarama"
	c.Version = sarama.MaxVersion
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	for _, f := range set {
		f(c)
	}
	return c
}

func create(topic string, partitions int32, entries map[string]*string) error {
	return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false)
}

func produce(topic string, records []cases.Record, set ...func(*sarama.Config)) error {
	p, err := sarama.NewSyncProducer([]string{report.Bootstrap}, config(set...))
	if err != nil {
		return err
	}
	var out []*sarama.ProducerMessage
	for _, r := range records {
		m := &sarama.ProducerMessage{Topic: topic, Partition: int32(r.Partition), Timestamp: time.UnixMilli(r.TimestampMs)}
		if r.Key != nil {
			m.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			m.Value = sarama.ByteEncoder(r.Value)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		out = append(out, m)
	}
	err = p.SendMessages(out)
	var several sarama.ProducerErrors
	if errors.As(err, &several) {
		err = several[0].Err
	}
	if config(set...).Producer.RequiredAcks == sarama.NoResponse {
		time.Sleep(500 * time.Millisecond) // nothing tells when the broker has read it, and Kafka drops what it had not begun
	}
	return errors.Join(err, p.Close())
}

func consumePartition(c sarama.Consumer, topic string, p int, from int64, count int) ([]cases.Record, error) {
	pc, err := c.ConsumePartition(topic, int32(p), from)
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	var got []cases.Record
	for late := time.After(15 * time.Second); len(got) < count; {
		select {
		case m := <-pc.Messages():
			got = append(got, asRecord(m))
		case <-late:
			return got, fmt.Errorf("partition %d: %d of %d records", p, len(got), count)
		}
	}
	return got, nil
}

func asRecord(m *sarama.ConsumerMessage) cases.Record {
	r := cases.Record{Partition: int(m.Partition), Key: m.Key, Value: m.Value, TimestampMs: m.Timestamp.UnixMilli()}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, cases.Header{Key: string(h.Key), Value: h.Value})
	}
	return r
}

// consume reads the wanted records, each partition from the offset that from gives.
func consume(topic string, want []cases.Record, from func(p int) int64, set ...func(*sarama.Config)) error {
	c, err := sarama.NewConsumer([]string{report.Bootstrap}, config(set...))
	if err != nil {
		return err
	}
	defer c.Close()
	var got []cases.Record
	for p := 0; p < cases.Partitions; p++ {
		if count := len(cases.Partition(want, p)); count > 0 {
			part, err := consumePartition(c, topic, p, from(p), count)
			if err != nil {
				return err
			}
			got = append(got, part...)
		}
	}
	return cases.Compare(want, got, options)
}

func oldest(int) int64 { return sarama.OffsetOldest }

func roundTrip(topic string, set ...func(*sarama.Config)) error {
	if err := create(topic, cases.Partitions, nil); err != nil {
		return err
	}
	if err := produce(topic, data, set...); err != nil {
		return err
	}
	return consume(topic, data, oldest)
}

func fromTimestamp() (string, error) {
	c, err := sarama.NewClient([]string{report.Bootstrap}, config())
	if err != nil {
		return "", err
	}
	defer c.Close()
	topic := report.Prefix + "-codec-none"
	var failed error
	err = consume(topic, data[cases.FromRecord:], func(p int) int64 {
		offset, err := c.GetOffset(topic, int32(p), baseMs+cases.FromRecord*1000)
		failed = errors.Join(failed, err)
		return offset
	})
	return "", errors.Join(failed, err)
}

func produceCases() {
	for _, codec := range cases.Codecs {
		report.RunCodec(codec, func(topic, codec string) error {
			return roundTrip(topic, func(c *sarama.Config) { c.Producer.Compression = codecs[codec] })
		})
	}
	large := []cases.Record{{Key: []byte("large"), Value: cases.LargeValue(cases.LargeValueBytes), TimestampMs: baseMs}}
	tooLarge := []cases.Record{{Value: cases.LargeValue(cases.TooLargeValueBytes), TimestampMs: baseMs}}
	raised := func(c *sarama.Config) { c.Producer.MaxMessageBytes, c.Consumer.Fetch.Default = 4<<20, 2<<20 }
	report.Run("large-message", func() (string, error) {
		topic := report.Prefix + "-large"
		if err := errors.Join(create(topic, 1, nil), produce(topic, large, raised)); err != nil {
			return "", err
		}
		return "", consume(topic, large, oldest, raised)
	})
	report.Run("too-large-message", func() (string, error) {
		err := produce(report.Prefix+"-large", tooLarge, raised)
		if !errors.Is(err, sarama.ErrMessageSizeTooLarge) {
			return "", fmt.Errorf("got %v", err)
		}
		return err.Error(), nil
	})
	report.Run("auto-create", func() (string, error) {
		one := []cases.Record{{Key: []byte("k"), Value: []byte("auto"), TimestampMs: baseMs}}
		if err := produce(report.Prefix+"-auto", one); err != nil {
			return "", err
		}
		return "", consume(report.Prefix+"-auto", one, oldest)
	})
	report.Run("idempotent", func() (string, error) {
		return "", roundTrip(report.Prefix+"-idempotent", func(c *sarama.Config) {
			c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
		})
	})
	for name, acks := range map[string]sarama.RequiredAcks{"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll} {
		report.Run("acks-"+name, func() (string, error) {
			return "", roundTrip(report.Prefix+"-acks-"+name, func(c *sarama.Config) { c.Producer.RequiredAcks = acks })
		})
	}
}

func main() {
	if group, name := report.Member(); name != "" {
		roam(report.Prefix, group, name)
	}
	var err error
	if admin, err = sarama.NewClusterAdmin([]string{report.Bootstrap}, config()); err != nil {
		report.Run("connect", func() (string, error) { return "", err })
		return
	}
	defer admin.Close()
	retention := "86400000"
	report.Run("create-topic", func() (string, error) {
		return "", create(report.Prefix+"-main", cases.Partitions, map[string]*string{"retention.ms": &retention})
	})
	produceCases()
	none := report.Prefix + "-codec-none"
	report.Run("consume-from-offset", func() (string, error) {
		return "", consume(none, cases.Partition(data, 1)[cases.FromOffset:], func(int) int64 { return cases.FromOffset })
	})
	report.Run("consume-from-timestamp", fromTimestamp)
	report.Run("consume-read-committed", func() (string, error) {
		return "", consume(none, data, oldest, func(c *sarama.Config) { c.Consumer.IsolationLevel = sarama.ReadCommitted })
	})
	adminCases()
	if report.Groups() {
		groupCases()
	}
}
