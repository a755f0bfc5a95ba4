// SPDX-License-Identifier: Apache-2.0

// The administration and group cases of sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/compat/cases"
)

func wantConfig(topic, key, value string) error {
	var got string
	var failed error
	ok := cases.Retry(func() bool {
		entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		failed = err
		for _, e := range entries {
			if e.Name == key {
				got = e.Value
			}
		}
		return err == nil && got == value
	})
	if !ok {
		return errors.Join(failed, fmt.Errorf("%s is %q", key, got))
	}
	return nil
}

func partitionCount(topic string) int {
	found, err := admin.DescribeTopics([]string{topic})
	if err != nil || len(found) != 1 || !errors.Is(found[0].Err, sarama.ErrNoError) {
		return -1
	}
	return len(found[0].Partitions)
}

func wantOffset(topic string, at, want int64) error {
	found, err := admin.ListOffsets(map[string]map[int32]int64{topic: {0: at}}, nil)
	if err != nil {
		return err
	}
	if got := found[topic][0].Offset; got != want {
		return fmt.Errorf("offset at %d is %d, not %d", at, got, want)
	}
	return nil
}

func listed(topic string) bool {
	all, err := admin.ListTopics()
	_, ok := all[topic]
	return err == nil && ok
}

func adminCases() {
	main, none := report.Prefix+"-main", report.Prefix+"-codec-none"
	report.Run("admin-list-topics", func() (string, error) {
		if !listed(main) {
			return "", errors.New("not listed")
		}
		return "", nil
	})
	report.Run("admin-describe-topic", func() (string, error) {
		if n := partitionCount(main); n != 3 {
			return "", fmt.Errorf("%d partitions", n)
		}
		return "", nil
	})
	report.Run("admin-describe-cluster", func() (string, error) {
		brokers, controller, err := admin.DescribeCluster()
		if err == nil && ((len(brokers) != 1 && len(brokers) != 3) || controller < 0) {
			err = fmt.Errorf("%d brokers, controller %d", len(brokers), controller)
		}
		return fmt.Sprintf("controller %d", controller), err
	})
	report.Run("admin-describe-configs", func() (string, error) { return "", wantConfig(main, "retention.ms", "86400000") })
	report.Run("admin-alter-configs", func() (string, error) {
		value := "7200000"
		if err := admin.AlterConfig(sarama.TopicResource, main, map[string]*string{"retention.ms": &value}, false); err != nil {
			return "", err
		}
		return "", wantConfig(main, "retention.ms", value)
	})
	report.Run("admin-incremental-alter-configs", func() (string, error) {
		value := "10485760"
		err := admin.IncrementalAlterConfig(sarama.TopicResource, main, map[string]sarama.IncrementalAlterConfigsEntry{
			"segment.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false)
		if err != nil {
			return "", err
		}
		return "", errors.Join(wantConfig(main, "segment.bytes", value), wantConfig(main, "retention.ms", "7200000"))
	})
	report.Run("admin-create-partitions", func() (string, error) {
		if err := admin.CreatePartitions(main, 5, nil, false); err != nil {
			return "", err
		}
		if !cases.Retry(func() bool { return partitionCount(main) == 5 }) {
			return "", errors.New("not 5 partitions")
		}
		return "", nil
	})
	report.Run("admin-delete-records", func() (string, error) {
		topic := report.Prefix + "-acks-all"
		if err := admin.DeleteRecords(topic, map[int32]int64{0: 5}); err != nil {
			return "", err
		}
		return "", wantOffset(topic, sarama.OffsetOldest, 5)
	})
	report.Run("admin-list-offsets", func() (string, error) {
		return "earliest, latest", errors.Join(wantOffset(none, sarama.OffsetOldest, 0), wantOffset(none, sarama.OffsetNewest, 20))
	})
	report.Run("admin-describe-log-dirs", func() (string, error) {
		brokers, _, err := admin.DescribeCluster()
		if err != nil {
			return "", err
		}
		dirs, err := admin.DescribeLogDirs([]int32{brokers[0].ID()})
		if err == nil && len(dirs[brokers[0].ID()]) == 0 {
			err = errors.New("no folder")
		}
		return "", err
	})
	report.Run("admin-delete-topic", func() (string, error) {
		topic := report.Prefix + "-delete"
		if err := errors.Join(create(topic, 3, nil), admin.DeleteTopic(topic)); err != nil {
			return "", err
		}
		if !cases.Retry(func() bool { return !listed(topic) }) {
			return "", errors.New("still listed")
		}
		return "", nil
	})
}

// member collects what its group gives it and ends the session when it has everything: a claim that returns ends it for all.
type member struct {
	lock sync.Mutex
	got  []cases.Record
	done context.CancelFunc
}

func (m *member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message := <-claim.Messages():
			m.lock.Lock()
			m.got = append(m.got, asRecord(message))
			s.MarkMessage(message, "")
			if len(m.got) == cases.Records {
				s.Commit()
				m.done()
			}
			m.lock.Unlock()
		case <-s.Context().Done():
			return nil
		}
	}
}

func groupCases() {
	topic, group := report.Prefix+"-codec-none", report.Prefix+"-group"
	report.Run("group-consume", func() (string, error) {
		g, err := sarama.NewConsumerGroup([]string{report.Bootstrap}, group, config())
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		m := &member{done: cancel}
		err = g.Consume(ctx, []string{topic}, m)
		if err = errors.Join(err, g.Close()); err != nil {
			return "", err
		}
		return "", cases.Compare(data, m.got, options)
	})
	report.Run("group-admin", func() (string, error) {
		groups, err := admin.ListConsumerGroups()
		if err != nil {
			return "", err
		}
		if _, ok := groups[group]; !ok {
			return "", errors.New("not listed")
		}
		described, err := admin.DescribeConsumerGroups([]string{group})
		if err != nil {
			return "", err
		}
		offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
		if err != nil {
			return "", err
		}
		if at := offsets.GetBlock(topic, 0).Offset; at != 20 {
			return "", fmt.Errorf("committed %d", at)
		}
		return described[0].State, admin.DeleteConsumerGroup(group)
	})
}
