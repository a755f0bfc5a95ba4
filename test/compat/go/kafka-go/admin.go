// SPDX-License-Identifier: Apache-2.0

// The administration and group cases of kafka-go.
package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"weir/compat/cases"
)

func configValue(topic, key string) (string, error) {
	r, err := client.DescribeConfigs(deadline(), &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{key}}}})
	if err != nil {
		return "", err
	}
	if len(r.Resources) != 1 || len(r.Resources[0].ConfigEntries) != 1 {
		return "", fmt.Errorf("%+v", r.Resources)
	}
	return r.Resources[0].ConfigEntries[0].ConfigValue, r.Resources[0].Error
}

func wantConfig(topic, key, value string) error {
	var got string
	var err error
	if !cases.Retry(func() bool { got, err = configValue(topic, key); return err == nil && got == value }) {
		return errors.Join(err, fmt.Errorf("%s is %q", key, got))
	}
	return nil
}

func listOffsets(topic string) (kafka.PartitionOffsets, error) {
	r, err := client.ListOffsets(deadline(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	return r.Topics[topic][0], r.Topics[topic][0].Error
}

func adminCases() {
	main := report.Prefix + "-main"
	report.Run("admin-list-topics", func() (string, error) {
		m, err := client.Metadata(deadline(), &kafka.MetadataRequest{})
		if err != nil {
			return "", err
		}
		for _, t := range m.Topics {
			if t.Name == main {
				return "", nil
			}
		}
		return "", errors.New("not listed")
	})
	report.Run("admin-describe-topic", func() (string, error) {
		if n := len(partitionsOf(main)); n != 3 {
			return "", fmt.Errorf("%d partitions", n)
		}
		return "", nil
	})
	report.Run("admin-describe-cluster", func() (string, error) {
		c, err := dialer.DialContext(deadline(), "tcp", report.Bootstrap)
		if err != nil {
			return "", err
		}
		defer c.Close()
		brokers, err1 := c.Brokers()
		controller, err2 := c.Controller()
		versions, err3 := c.ApiVersions()
		if err := errors.Join(err1, err2, err3); err != nil {
			return "", err
		}
		if (len(brokers) != 1 && len(brokers) != 3) || len(versions) < 10 {
			return "", fmt.Errorf("%d brokers, %d APIs", len(brokers), len(versions))
		}
		return fmt.Sprintf("controller %d at port %d", controller.ID, controller.Port), nil
	})
	report.Run("admin-describe-configs", func() (string, error) { return "", wantConfig(main, "retention.ms", "86400000") })
	report.Run("admin-alter-configs", func() (string, error) {
		r, err := client.AlterConfigs(deadline(), &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: main, Configs: []kafka.AlterConfigRequestConfig{
				{Name: "retention.ms", Value: "7200000"}}}}})
		if err != nil {
			return "", err
		}
		for _, err := range r.Errors {
			if err != nil {
				return "", err
			}
		}
		return "", wantConfig(main, "retention.ms", "7200000")
	})
	report.Run("admin-incremental-alter-configs", func() (string, error) {
		r, err := client.IncrementalAlterConfigs(deadline(), &kafka.IncrementalAlterConfigsRequest{
			Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: main,
				Configs: []kafka.IncrementalAlterConfigsRequestConfig{
					{Name: "segment.bytes", Value: "10485760", ConfigOperation: kafka.ConfigOperationSet}}}}})
		if err != nil {
			return "", err
		}
		return "", errors.Join(r.Resources[0].Error, wantConfig(main, "segment.bytes", "10485760"), wantConfig(main, "retention.ms", "7200000"))
	})
	report.Run("admin-create-partitions", func() (string, error) {
		r, err := client.CreatePartitions(deadline(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{
			{Name: main, Count: 5}}})
		if err = errors.Join(err, r.Errors[main]); err != nil {
			return "", err
		}
		if !cases.Retry(func() bool { return len(partitionsOf(main)) == 5 }) {
			return "", errors.New("not 5 partitions")
		}
		return "", nil
	})
	report.Run("admin-list-offsets", func() (string, error) {
		o, err := listOffsets(report.Prefix + "-codec-none")
		if err == nil && (o.FirstOffset != 0 || o.LastOffset != 20) {
			err = fmt.Errorf("%d to %d", o.FirstOffset, o.LastOffset)
		}
		return "earliest, latest", err
	})
	report.Run("admin-delete-topic", deleteTopics)
}

// deleteTopics uses both ways: the connection (DeleteTopics version 0 in 0.4.47) and the client.
func deleteTopics() (string, error) {
	one, two := report.Prefix+"-delete-1", report.Prefix+"-delete-2"
	if err := errors.Join(create(one, 1, nil), create(two, 1, nil)); err != nil {
		return "", err
	}
	c, err := dialer.DialContext(deadline(), "tcp", report.Bootstrap)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.DeleteTopics(one); err != nil {
		return "", err
	}
	r, err := client.DeleteTopics(deadline(), &kafka.DeleteTopicsRequest{Topics: []string{two}})
	if err = errors.Join(err, r.Errors[two]); err != nil {
		return "", err
	}
	gone := cases.Retry(func() bool {
		m, err := client.Metadata(deadline(), &kafka.MetadataRequest{})
		if err != nil {
			return false
		}
		for _, t := range m.Topics {
			if t.Name == one || t.Name == two {
				return false
			}
		}
		return true
	})
	if !gone {
		return "", errors.New("still listed")
	}
	return "", nil
}

func groupCases() {
	topic, group := report.Prefix+"-codec-none", report.Prefix+"-group"
	report.Run("group-consume", func() (string, error) {
		var got []cases.Record
		for _, count := range []int{30, 60} { // the second member goes on where the first one committed
			r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{report.Bootstrap}, Topic: topic, GroupID: group, Dialer: dialer,
				MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 500 * time.Millisecond, StartOffset: kafka.FirstOffset})
			for len(got) < count {
				m, err := r.ReadMessage(deadline())
				if err != nil {
					return "", errors.Join(err, r.Close())
				}
				got = append(got, asRecord(m))
			}
			if err := r.Close(); err != nil {
				return "", err
			}
		}
		return "", cases.Compare(data, got, options)
	})
	report.Run("group-admin", func() (string, error) {
		listed, err := client.ListGroups(deadline(), &kafka.ListGroupsRequest{})
		if err = errors.Join(err, listed.Error); err != nil {
			return "", err
		}
		described, err := client.DescribeGroups(deadline(), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			return "", err
		}
		offsets, err := client.OffsetFetch(deadline(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2}}})
		if err = errors.Join(err, offsets.Error); err != nil {
			return "", err
		}
		var sum int64
		for _, p := range offsets.Topics[topic] {
			sum += p.CommittedOffset
		}
		if sum != cases.Records {
			return "", fmt.Errorf("committed %d", sum)
		}
		deleted, err := client.DeleteGroups(deadline(), &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
		return described.Groups[0].GroupState, errors.Join(err, deleted.Errors[group])
	})
}
