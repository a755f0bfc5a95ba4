// SPDX-License-Identifier: Apache-2.0

// A member of a consumer group, for rebalance.py: franz-go HOST:PORT TOPIC GROUP --member NAME. SIGTERM: it leaves.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/compat/cases"
)

func member(topic, group, name string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	gone := func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { cases.Say("-", name, parts[topic]) }
	c, err := kgo.NewClient(kgo.SeedBrokers(report.Bootstrap), kgo.ClientID(name), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { cases.Say("+", name, parts[topic]) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, c *kgo.Client, parts map[string][]int32) {
			if err := c.CommitUncommittedOffsets(ctx); err != nil {
				cases.SayError(name, err)
			}
			gone(ctx, c, parts)
		}), kgo.OnPartitionsLost(gone))
	if err != nil {
		cases.SayError(name, err)
		os.Exit(1)
	}
	committed := time.Now()
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		c.PollFetches(poll).EachRecord(func(r *kgo.Record) { cases.SayRecord(name, r.Partition, r.Offset) })
		cancel()
		c.AllowRebalance()
		if time.Since(committed) > 500*time.Millisecond {
			if err := c.CommitUncommittedOffsets(ctx); err != nil {
				cases.SayError(name, err)
			}
			committed = time.Now()
		}
	}
	c.CloseAllowingRebalance() // with a last call of OnPartitionsRevoked
	os.Exit(0)
}
