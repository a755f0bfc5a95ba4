// SPDX-License-Identifier: Apache-2.0
//
// A member of a consumer group with kafkajs, for rebalance.py: node member.js HOST:PORT TOPIC GROUP NAME. SIGTERM: it leaves. What it
// prints: ../confluent/members.py.
'use strict'
const { Kafka, logLevel } = require('kafkajs')
const [bootstrap, topic, group, name] = process.argv.slice(2)
const say = (...words) => process.stdout.write(words.join(' ') + '\n')

const kafka = new Kafka({ clientId: name, brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 20, maxRetryTime: 1000 } })
const consumer = kafka.consumer({ groupId: group, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 10000 })
let owned = []

consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
  if (owned.length) say('-', name, owned.join(','))
  owned = payload.memberAssignment[topic] || []
  if (owned.length) say('+', name, owned.join(','))
})
process.on('SIGTERM', async () => {
  await consumer.disconnect()
  say('.', name)
  process.exit(0)
})
async function main () {
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommitInterval: 500,
    eachMessage: async ({ partition, message }) => say('r', name, partition, message.offset)
  })
}
main().catch(error => { say('e', name, error.message); process.exit(1) })
