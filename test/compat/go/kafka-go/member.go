// SPDX-License-Identifier: Apache-2.0

// A member of a consumer group, for rebalance.py: kafka-go HOST:PORT TOPIC GROUP --member NAME. SIGTERM: it leaves.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"weir/compat/cases"
)

// roamPartition reads a partition while its generation lasts. What it read is committed when a second is half over and at the end.
func roamPartition(ctx context.Context, g *kafka.Generation, topic, name string, a kafka.PartitionAssignment) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{report.Bootstrap}, Topic: topic, Partition: a.ID, Dialer: dialer,
		MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 200 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(a.Offset); err != nil {
		cases.SayError(name, err)
		return
	}
	next, committed, last := int64(-1), int64(-1), time.Now()
	commit := func() {
		if next == committed {
			return
		}
		if err := g.CommitOffsets(map[string]map[int]int64{topic: {a.ID: next}}); err != nil {
			cases.SayError(name, err)
			return
		}
		committed, last = next, time.Now()
	}
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		m, err := r.ReadMessage(wait)
		cancel()
		if err == nil {
			cases.SayRecord(name, int32(m.Partition), m.Offset)
			next = m.Offset + 1
		} else if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			cases.SayError(name, err)
			time.Sleep(200 * time.Millisecond)
		}
		if time.Since(last) > 500*time.Millisecond {
			commit()
		}
	}
	commit()
}

func roam(topic, groupID, name string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: groupID, Brokers: []string{report.Bootstrap}, Dialer: dialer,
		Topics: []string{topic}, StartOffset: kafka.FirstOffset, SessionTimeout: 6 * time.Second, RebalanceTimeout: 10 * time.Second,
		HeartbeatInterval: 500 * time.Millisecond, JoinGroupBackoff: 500 * time.Millisecond})
	if err != nil {
		cases.SayError(name, err)
		os.Exit(1)
	}
	go func() {
		<-ctx.Done()
		group.Close()
		os.Exit(0)
	}()
	for {
		g, err := group.Next(context.Background())
		if errors.Is(err, kafka.ErrGroupClosed) {
			select {}
		}
		if err != nil {
			cases.SayError(name, err)
			continue
		}
		var mine []int32
		var readers sync.WaitGroup
		for _, a := range g.Assignments[topic] {
			mine = append(mine, int32(a.ID))
			readers.Add(1)
		}
		cases.Say("+", name, mine)
		for _, a := range g.Assignments[topic] {
			g.Start(func(ctx context.Context) {
				defer readers.Done()
				roamPartition(ctx, g, topic, name, a)
			})
		}
		g.Start(func(ctx context.Context) {
			readers.Wait()
			<-ctx.Done()
			cases.Say("-", name, mine)
		})
	}
}
