// SPDX-License-Identifier: Apache-2.0
//
// The compatibility cases with kafkajs. It reads only in groups, so that what it wrote is read back with its consumer only when the
// broker has groups (--groups); without, the offsets at the end are checked and the driver checks the stored codec.
//
//   node compat.js HOST:PORT PREFIX NAME [--groups]
'use strict'
const assert = require('assert')
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')

const [bootstrap, prefix, name] = process.argv.slice(2)
const groups = process.argv.includes('--groups')
const PARTITIONS = 3
const RECORDS = 60
const LARGE_VALUE_BYTES = 1048400
const TOO_LARGE_VALUE_BYTES = 1100000
const kafka = new Kafka({ clientId: 'kafkajs', brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 5 } })
const admin = kafka.admin()
const baseMs = (Math.floor(Date.now() / 1000) - 3600) * 1000

class Skip extends Error {}

async function run (title, fn, more = {}) {
  const line = { client: name, case: title, result: 'ok', detail: '' }
  const begin = Date.now()
  try {
    line.detail = String((await fn()) ?? '')
    Object.assign(line, more)
  } catch (error) {
    line.result = error instanceof Skip ? 'skipped' : 'failed'
    line.detail = error instanceof Skip ? error.message : String(error.stack).split('\n').slice(0, 3).join(' | ')
  }
  line.ms = Date.now() - begin
  console.log(JSON.stringify(line))
}

async function retry (fn) {
  for (const end = Date.now() + 10000; ;) {
    if (await fn()) return true
    if (Date.now() > end) return false
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

// The table of README.md, without null headers, which kafkajs cannot write.
function records () {
  return Array.from({ length: RECORDS }, (_, i) => {
    const key = i % 5 === 0 ? null : i % 11 === 1 ? '' : `key-${i}`
    const value = i % 7 === 3 && key !== null ? null : i % 13 === 2 ? '' : `value-${i} ` + 'abcdefghij'.repeat(20)
    const headers = i % 4 === 0
      ? { kind: ['compat', 'again'], number: String(i), empty: '', bytes: Buffer.from([0, 0xff, 0x80]) }
      : {}
    return { partition: i % PARTITIONS, key, value, headers, timestamp: String(baseMs + i * 1000) }
  })
}

const data = records()

function largeValue (size) {
  const out = Buffer.alloc(size + 8)
  let x = 88172645463325252n
  for (let at = 0; at < size; at += 8) {
    x ^= (x << 13n) & 0xffffffffffffffffn
    x ^= x >> 7n
    x ^= (x << 17n) & 0xffffffffffffffffn
    out.writeBigUInt64LE(x, at)
  }
  return out.subarray(0, size)
}

async function create (topic, numPartitions = PARTITIONS, configEntries = []) {
  assert(await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] }), 'not created')
  return topic
}

async function produce (topic, messages, options = {}) {
  const { idempotent, allowAutoTopicCreation = false, ...send } = options
  const producer = kafka.producer({ idempotent, allowAutoTopicCreation, retry: { retries: 5 } })
  await producer.connect()
  try {
    return await producer.send({ topic, messages, ...send })
  } finally {
    await producer.disconnect()
  }
}

async function ends (topic) {
  const found = await admin.fetchTopicOffsets(topic)
  return found.sort((a, b) => a.partition - b.partition).map(o => [o.low, o.high].map(Number))
}

// Reads everything in a group from the start and compares it.
async function readBack (topic, want, groupId) {
  const consumer = kafka.consumer({ groupId, allowAutoTopicCreation: false })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const got = []
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      got.push({ partition, ...message })
    }
  })
  await retry(() => got.length >= want.length)
  await consumer.disconnect()
  const bytes = v => v === null || v === undefined ? null : Buffer.from(v).toString('hex')
  for (let p = 0; p < PARTITIONS; p++) {
    const pick = all => all.filter(r => r.partition === p).map(r => [bytes(r.key), bytes(r.value), String(r.timestamp),
      Object.entries(r.headers ?? {}).map(([k, v]) => [k, [v].flat().map(bytes)])])
    assert.deepStrictEqual(pick(got), pick(want), `partition ${p}`)
  }
}

async function codecs () {
  CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
  const lz4 = require('lz4-napi')
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: encoder => lz4.compressFrame(encoder.buffer),
    decompress: buffer => lz4.decompressFrame(buffer)
  })
  const zstd = require('@bokuweb/zstd-wasm')
  await zstd.init()
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async encoder => Buffer.from(zstd.compress(encoder.buffer, 3)),
    decompress: async buffer => Buffer.from(zstd.decompress(buffer))
  })
}

async function roundTrip (topic, options) {
  await create(topic)
  await produce(topic, data, options)
  assert(await retry(async () => (await ends(topic)).every(([low, high]) => low === 0 && high === 20)), JSON.stringify(await ends(topic)))
  if (groups) await readBack(topic, data, `${topic}-group`)
  return groups ? '60 records read back' : '60 records at the ends; nothing read back, kafkajs reads only in groups'
}

async function configValue (key) {
  const found = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: `${prefix}-main` }] })
  return found.resources[0].configEntries.find(e => e.configName === key)?.configValue
}

async function produceCases () {
  const types = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }
  for (const codec of Object.keys(types)) {
    const topic = `${prefix}-codec-${codec}`
    await run(`produce-${codec}`, () => roundTrip(topic, { compression: types[codec] }), { topic, codec })
  }
  await run('large-message', async () => {
    const topic = await create(`${prefix}-large`, 1)
    await produce(topic, [{ partition: 0, key: 'large', value: largeValue(LARGE_VALUE_BYTES), timestamp: String(baseMs) }])
    assert.deepStrictEqual(await ends(topic), [[0, 1]])
  })
  await run('too-large-message', async () => {
    try {
      await produce(`${prefix}-large`, [{ partition: 0, value: largeValue(TOO_LARGE_VALUE_BYTES) }])
    } catch (error) {
      assert.strictEqual(error.type, 'MESSAGE_TOO_LARGE')
      return error.type
    }
    throw new Error('accepted')
  })
  await run('auto-create', async () => {
    await produce(`${prefix}-auto`, [{ key: 'k', value: 'auto' }], { allowAutoTopicCreation: true })
    assert.deepStrictEqual(await ends(`${prefix}-auto`), [[0, 1]])
  })
  await run('idempotent', () => roundTrip(`${prefix}-idempotent`, { idempotent: true, acks: -1 }))
  for (const acks of [0, 1, -1]) {
    const title = acks < 0 ? 'acks-all' : `acks-${acks}`
    await run(title, () => roundTrip(`${prefix}-${title}`, { acks }))
  }
}

async function adminCases () {
  const main = `${prefix}-main`
  await run('admin-list-topics', async () => assert((await admin.listTopics()).includes(main)))
  await run('admin-describe-topic', async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [main] })
    assert.strictEqual(topics[0].partitions.length, 3)
  })
  await run('admin-describe-cluster', async () => {
    const cluster = await admin.describeCluster()
  assert.ok([1, 3].includes(cluster.brokers.length))
    return `cluster id ${cluster.clusterId}, controller ${cluster.controller}`
  })
  await run('admin-describe-configs', async () => assert.strictEqual(await configValue('retention.ms'), '86400000'))
  await run('admin-alter-configs', async () => {
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: main, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
    assert(await retry(async () => await configValue('retention.ms') === '7200000'))
  })
  await run('admin-create-partitions', async () => {
    await admin.createPartitions({ topicPartitions: [{ topic: main, count: 5 }] })
    assert(await retry(async () => (await admin.fetchTopicMetadata({ topics: [main] })).topics[0].partitions.length === 5))
  })
  await run('admin-delete-records', async () => {
    await ends(`${prefix}-acks-all`) // it knows the leaders only of topics that it was asked about before
    await admin.deleteTopicRecords({ topic: `${prefix}-acks-all`, partitions: [{ partition: 0, offset: '5' }] })
    assert.deepStrictEqual((await ends(`${prefix}-acks-all`))[0], [5, 20])
  })
  await run('admin-list-offsets', async () => {
    assert.deepStrictEqual(await ends(`${prefix}-codec-none`), [[0, 20], [0, 20], [0, 20]])
    const at = await admin.fetchTopicOffsetsByTimestamp(`${prefix}-codec-none`, baseMs + 30000)
    assert.deepStrictEqual(at.sort((a, b) => a.partition - b.partition).map(o => o.offset), ['10', '10', '10'])
    return 'earliest, latest, timestamp'
  })
  await run('admin-delete-topic', async () => {
    const topic = await create(`${prefix}-delete`)
    await admin.deleteTopics({ topics: [topic] })
    assert(await retry(async () => !(await admin.listTopics()).includes(topic)), 'still listed')
  })
}

async function groupCases () {
  await run('group-admin', async () => {
    const group = `${prefix}-codec-none-group`
    const { groups: listed } = await admin.listGroups()
    assert(listed.some(g => g.groupId === group), 'not listed')
    const described = await admin.describeGroups([group])
    const offsets = await admin.fetchOffsets({ groupId: group, topics: [`${prefix}-codec-none`] })
    assert.strictEqual(offsets[0].partitions.reduce((sum, p) => sum + Number(p.offset), 0), 60)
    await admin.deleteGroups([group])
    return described.groups[0].state
  })
}

async function main () {
  await codecs()
  await admin.connect()
  await run('create-topic', async () => create(`${prefix}-main`, PARTITIONS, [{ name: 'retention.ms', value: '86400000' }]))
  await produceCases()
  await run('consume', () => { if (!groups) throw new Skip('kafkajs reads only in consumer groups, and this broker has none') })
  await adminCases()
  if (groups) await groupCases()
  await admin.disconnect()
}

main().catch(error => { console.error(error); process.exit(1) })
