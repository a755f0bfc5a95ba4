// SPDX-License-Identifier: Apache-2.0

// The administration and group cases of franz-go.
package main

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/compat/cases"
)

func configValue(topic, key string) (string, error) {
	found, err := admin.DescribeTopicConfigs(deadline(), topic)
	if err != nil {
		return "", err
	}
	if found[0].Err != nil {
		return "", found[0].Err
	}
	for _, c := range found[0].Configs {
		if c.Key == key {
			return c.MaybeValue(), nil
		}
	}
	return "", fmt.Errorf("no key %s", key)
}

func wantConfig(topic, key, value string) error {
	var got string
	var err error
	if !cases.Retry(func() bool { got, err = configValue(topic, key); return err == nil && got == value }) {
		return errors.Join(err, fmt.Errorf("%s is %q", key, got))
	}
	return nil
}

func partitionCount(topic string) int {
	details, err := admin.ListTopics(deadline(), topic)
	if err != nil || details[topic].Err != nil {
		return -1
	}
	return len(details[topic].Partitions)
}

func offsetIs(want int64, listed kadm.ListedOffsets, err error, topic string) error {
	if err = errors.Join(err, listed.Error()); err != nil {
		return err
	}
	o, ok := listed.Lookup(topic, 0)
	if !ok || o.Offset != want {
		return fmt.Errorf("offset %d, not %d", o.Offset, want)
	}
	return nil
}

func adminCases() {
	main, none := report.Prefix+"-main", report.Prefix+"-codec-none"
	report.Run("admin-list-topics", func() (string, error) {
		all, err := admin.ListTopics(deadline())
		if err == nil && !all.Has(main) {
			err = fmt.Errorf("not among %v", all.Names())
		}
		return "", err
	})
	report.Run("admin-describe-topic", func() (string, error) {
		if n := partitionCount(main); n != 3 {
			return "", fmt.Errorf("%d partitions", n)
		}
		return "", nil
	})
	report.Run("admin-describe-cluster", func() (string, error) {
		m, err := admin.BrokerMetadata(deadline())
		if err == nil && ((len(m.Brokers) != 1 && len(m.Brokers) != 3) || m.Cluster == "") {
			err = fmt.Errorf("%+v", m)
		}
		return "cluster id " + m.Cluster, err
	})
	report.Run("admin-describe-configs", func() (string, error) { return "", wantConfig(main, "retention.ms", "86400000") })
	report.Run("admin-alter-configs", func() (string, error) {
		r, err := admin.AlterTopicConfigsState(deadline(), []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr("7200000")}}, main)
		if err = errors.Join(err, r[0].Err); err != nil {
			return "", err
		}
		return "", wantConfig(main, "retention.ms", "7200000")
	})
	report.Run("admin-incremental-alter-configs", func() (string, error) {
		r, err := admin.AlterTopicConfigs(deadline(), []kadm.AlterConfig{
			{Op: kadm.SetConfig, Name: "segment.bytes", Value: kadm.StringPtr("10485760")},
			{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")}}, main)
		if err = errors.Join(err, r[0].Err); err != nil {
			return "", err
		}
		return "", errors.Join(wantConfig(main, "segment.bytes", "10485760"), wantConfig(main, "retention.ms", "7200000"))
	})
	report.Run("admin-create-partitions", func() (string, error) {
		r, err := admin.UpdatePartitions(deadline(), 5, main)
		if err = errors.Join(err, r[main].Err); err != nil {
			return "", err
		}
		if !cases.Retry(func() bool { return partitionCount(main) == 5 }) {
			return "", errors.New("not 5 partitions")
		}
		return "", nil
	})
	report.Run("admin-delete-records", func() (string, error) {
		topic, offsets := report.Prefix+"-acks-all", kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 5})
		r, err := admin.DeleteRecords(deadline(), offsets)
		if err = errors.Join(err, r.Error()); err != nil {
			return "", err
		}
		listed, err := admin.ListStartOffsets(deadline(), topic)
		return "", offsetIs(5, listed, err, topic)
	})
	report.Run("admin-list-offsets", func() (string, error) {
		first, err1 := admin.ListStartOffsets(deadline(), none)
		last, err2 := admin.ListEndOffsets(deadline(), none)
		newest, err3 := admin.ListMaxTimestampOffsets(deadline(), none)
		return "earliest, latest, max timestamp", errors.Join(offsetIs(0, first, err1, none), offsetIs(20, last, err2, none),
			offsetIs(19, newest, err3, none))
	})
	report.Run("admin-describe-log-dirs", func() (string, error) {
		dirs, err := admin.DescribeAllLogDirs(deadline(), nil)
		if err != nil {
			return "", err
		}
		var size int64
		dirs.Each(func(d kadm.DescribedLogDir) {
			err = errors.Join(err, d.Err)
			d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
				if p.Topic == none {
					size += p.Size
				}
			})
		})
		if err != nil {
			return "", err
		}
		if size <= 0 {
			return "", fmt.Errorf("size of %s is %d", none, size)
		}
		return fmt.Sprintf("%d bytes", size), nil
	})
	report.Run("admin-describe-producers", func() (string, error) {
		set := kadm.TopicsSet{}
		set.Add(report.Prefix+"-idempotent", 0)
		r, err := admin.DescribeProducers(deadline(), set)
		if err != nil {
			return "", err
		}
		found := r.SortedProducers()
		if len(found) != 1 {
			return "", fmt.Errorf("%d producers", len(found))
		}
		return fmt.Sprintf("producer %d epoch %d", found[0].ProducerID, found[0].ProducerEpoch), nil
	})
	report.Run("admin-delete-topic", func() (string, error) {
		topic := report.Prefix + "-delete"
		if err := create(topic, 3, nil); err != nil {
			return "", err
		}
		r, err := admin.DeleteTopics(deadline(), topic)
		if err = errors.Join(err, r.Error()); err != nil {
			return "", err
		}
		if !cases.Retry(func() bool { all, err := admin.ListTopics(deadline()); return err == nil && !all.Has(topic) }) {
			return "", errors.New("still listed")
		}
		return "", nil
	})
}

func groupCases() {
	topic, group := report.Prefix+"-codec-none", report.Prefix+"-group"
	report.Run("group-consume", func() (string, error) {
		var all []cases.Record
		for _, rounds := range []int{1, 2} { // the second member goes on where the first one committed
			c := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.DisableAutoCommit())
			want := cases.Records
			if rounds == 2 {
				if err := produce(topic, data); err != nil {
					return "", err
				}
			}
			got, err := read(c, want)
			if err == nil {
				err = c.CommitUncommittedOffsets(deadline())
			}
			c.LeaveGroup()
			c.Close()
			if err != nil {
				return "", err
			}
			all = append(all, got...)
		}
		return "", cases.Compare(append(append([]cases.Record{}, data...), data...), all, cases.Options{})
	})
	report.Run("group-admin", func() (string, error) {
		described, err := admin.DescribeGroups(deadline(), group)
		if err = errors.Join(err, described.Error()); err != nil {
			return "", err
		}
		offsets, err := admin.FetchOffsets(deadline(), group)
		if err = errors.Join(err, offsets.Error()); err != nil {
			return "", err
		}
		if o, _ := offsets.Lookup(topic, 0); o.At != 40 {
			return "", fmt.Errorf("committed %d", o.At)
		}
		deleted, err := admin.DeleteGroups(deadline(), group)
		return described[group].State, errors.Join(err, deleted.Error())
	})
}
