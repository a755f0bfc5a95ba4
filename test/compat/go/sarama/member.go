// SPDX-License-Identifier: Apache-2.0

// A member of a consumer group, for rebalance.py: sarama HOST:PORT TOPIC GROUP --member NAME. SIGTERM: it leaves.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/IBM/sarama"

	"weir/compat/cases"
)

// roamer says what its group gives it, until it is told to leave.
type roamer struct{ name, topic string }

func (m *roamer) Setup(s sarama.ConsumerGroupSession) error {
	cases.Say("+", m.name, s.Claims()[m.topic])
	return nil
}

func (m *roamer) Cleanup(s sarama.ConsumerGroupSession) error {
	s.Commit()
	cases.Say("-", m.name, s.Claims()[m.topic])
	return nil
}

func (m *roamer) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			cases.SayRecord(m.name, message.Partition, message.Offset)
			s.MarkMessage(message, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

func roam(topic, group, name string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	g, err := sarama.NewConsumerGroup([]string{report.Bootstrap}, group, config(func(c *sarama.Config) {
		c.ClientID = name
		c.Consumer.Group.Session.Timeout = 6 * time.Second
		c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
		c.Consumer.Offsets.AutoCommit.Interval = 500 * time.Millisecond
	}))
	if err != nil {
		cases.SayError(name, err)
		os.Exit(1)
	}
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{topic}, &roamer{name, topic}); err != nil {
			cases.SayError(name, err)
			time.Sleep(200 * time.Millisecond)
		}
	}
	g.Close()
	os.Exit(0)
}
