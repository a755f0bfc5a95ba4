// SPDX-License-Identifier: Apache-2.0
//
// The compatibility cases with @platformatic/kafka: producing and administering. Like kafkajs it reads only in groups.
//
//   node compat.js HOST:PORT PREFIX NAME [--groups]
'use strict'
const assert = require('assert')
const zlib = require('zlib')
const { Admin, Consumer, Producer, ConfigResourceTypes, IncrementalAlterConfigOperationTypes } = require('@platformatic/kafka')

const [bootstrap, prefix, name] = process.argv.slice(2)
const groups = process.argv.includes('--groups')
const PARTITIONS = 3
const RECORDS = 60
const base = { clientId: 'platformatic', bootstrapBrokers: [bootstrap], retries: 5, retryDelay: 200, timeout: 10000 }
const admin = new Admin(base)
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
    const inner = (error.errors ?? []).map(e => e.message).join('; ')
    line.detail = error instanceof Skip ? error.message : `${String(error.stack).split('\n').slice(0, 2).join(' | ')} ${inner}`
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

// The table of README.md; a key or value that is left out is null. Headers are a map, so none is there twice, and none is null.
const data = Array.from({ length: RECORDS }, (_, i) => {
  const key = i % 5 === 0 ? undefined : i % 11 === 1 ? '' : `key-${i}`
  const value = i % 7 === 3 && key !== undefined ? undefined : i % 13 === 2 ? '' : `value-${i} ` + 'abcdefghij'.repeat(20)
  const headers = i % 4 === 0 ? new Map([['kind', 'compat'], ['number', String(i)], ['empty', ''], ['bytes', Buffer.from([0, 255, 128])]].map(h => h.map(Buffer.from))) : undefined
  const bytes = v => v === undefined ? undefined : Buffer.from(v)
  return { partition: i % PARTITIONS, key: bytes(key), value: bytes(value), headers, timestamp: BigInt(baseMs + i * 1000) }
})

async function create (topic, partitions = PARTITIONS, configs = []) {
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs })
  // A broker that answers before each leader knows of it makes this client send everything twice.
  await retry(() => offsets(topic, -1n, partitions).then(() => true, () => false))
  return topic
}

async function produce (topic, messages, options = {}) {
  const producer = new Producer({ ...base, ...options })
  try {
    return await producer.send({ messages: messages.map(m => ({ ...m, topic })), acks: options.acks ?? -1, ...options })
  } finally {
    await producer.close()
  }
}

async function offsets (topic, timestamp, partitions = PARTITIONS) {
  const found = await admin.listOffsets({ topics: [{ name: topic, partitions: Array.from({ length: partitions }, (_, p) => ({ partitionIndex: p, timestamp })) }] })
  return found[0].partitions.sort((a, b) => a.partitionIndex - b.partitionIndex).map(p => Number(p.offset))
}

async function readBack (topic) {
  const consumer = new Consumer({ ...base, groupId: `${topic}-group` })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false })
  const got = []
  for await (const message of stream) {
    got.push(message)
    if (got.length === RECORDS) break
  }
  await consumer.close(true)
  const hex = v => v === undefined || v === null ? '' : Buffer.from(v).toString('hex') // null reads as nothing
  for (let p = 0; p < PARTITIONS; p++) {
    const pick = all => all.filter(r => r.partition === p).map(r => [hex(r.key), hex(r.value), String(r.timestamp),
      [...(r.headers ?? new Map())].map(h => h.map(hex))])
    assert.deepStrictEqual(pick(got), pick(data), `partition ${p}`)
  }
}

async function roundTrip (topic, options) {
  await create(topic)
  await produce(topic, data, options)
  assert(await retry(async () => (await offsets(topic, -1n)).every(o => o === 20)), String(await offsets(topic, -1n)))
  if (groups) await readBack(topic)
  return groups ? '60 records read back' : '60 records at the ends; nothing read back, it reads only in groups'
}

async function configValue (key) {
  const found = await admin.describeConfigs({ resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: `${prefix}-main`, configurationKeys: [key] }] })
  return found[0].configs.find(c => c.name === key)?.value
}

async function adminCases () {
  const main = `${prefix}-main`
  await run('admin-list-topics', async () => assert((await admin.listTopics()).includes(main)))
  await run('admin-describe-topic', async () => {
    const metadata = await admin.metadata({ topics: [main], forceUpdate: true })
    assert.strictEqual(metadata.topics.get(main).partitionsCount, 3)
  })
  await run('admin-describe-configs', async () => assert.strictEqual(await configValue('retention.ms'), '86400000'))
  await run('admin-incremental-alter-configs', async () => {
    await admin.incrementalAlterConfigs({ resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: main, configs: [{ name: 'retention.ms', configOperation: IncrementalAlterConfigOperationTypes.SET, value: '7200000' }] }] })
    assert(await retry(async () => await configValue('retention.ms') === '7200000'))
  })
  await run('admin-create-partitions', async () => {
    await admin.createPartitions({ topics: [{ name: main, count: 5, assignments: null }] })
    assert(await retry(async () => (await admin.metadata({ topics: [main], forceUpdate: true })).topics.get(main).partitionsCount === 5))
  })
  await run('admin-delete-records', async () => {
    await admin.deleteRecords({ topics: [{ name: `${prefix}-acks-all`, partitions: [{ partition: 0, offset: 5n }] }] })
    assert.strictEqual((await offsets(`${prefix}-acks-all`, -2n))[0], 5)
  })
  await run('admin-list-offsets', async () => {
    assert.deepStrictEqual(await offsets(`${prefix}-codec-none`, -2n), [0, 0, 0])
    assert.deepStrictEqual(await offsets(`${prefix}-codec-none`, -1n), [20, 20, 20])
    assert.deepStrictEqual(await offsets(`${prefix}-codec-none`, BigInt(baseMs + 30000)), [10, 10, 10])
    return 'earliest, latest, timestamp'
  })
  await run('admin-describe-log-dirs', async () => assert((await admin.describeLogDirs({ topics: [{ name: main, partitions: [0] }] })).length > 0))
  await run('admin-delete-topic', async () => {
    const topic = await create(`${prefix}-delete`)
    await admin.deleteTopics({ topics: [topic] })
    assert(await retry(async () => !(await admin.listTopics()).includes(topic)), 'still listed')
  })
}

async function main () {
  await run('create-topic', () => create(`${prefix}-main`, PARTITIONS, [{ name: 'retention.ms', value: '86400000' }]))
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    const topic = `${prefix}-codec-${codec}`
    await run(`produce-${codec}`, () => {
      if (codec === 'zstd' && !zlib.zstdCompress) throw new Skip(`Node.js ${process.version} has no zstd`)
      return roundTrip(topic, { compression: codec })
    }, { topic, codec })
  }
  await run('auto-create', async () => {
    await produce(`${prefix}-auto`, [{ key: Buffer.from('k'), value: Buffer.from('auto') }], { autocreateTopics: true })
    assert.deepStrictEqual(await offsets(`${prefix}-auto`, -1n, 1), [1])
  })
  await run('idempotent', () => roundTrip(`${prefix}-idempotent`, { idempotent: true }))
  for (const acks of [0, 1, -1]) {
    const title = acks < 0 ? 'acks-all' : `acks-${acks}`
    await run(title, () => roundTrip(`${prefix}-${title}`, { acks }))
  }
  await adminCases()
  await admin.close()
}

main().catch(error => { console.error(error); process.exit(1) })
