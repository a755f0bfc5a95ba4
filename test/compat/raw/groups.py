# SPDX-License-Identifier: Apache-2.0
"""Raw cases of consumer groups: Kafka's codes for what no client library sends, and that none of it changes the group."""

import time

import cases
from connection import Raw

PROTOCOL = [{'name': 'range', 'metadata': b'\0\0\0\0\0\0'}]
NONE, OFFSET_TOO_LARGE, COORDINATOR_NOT_AVAILABLE, ILLEGAL_GENERATION, INCONSISTENT, INVALID_GROUP = 0, 12, 15, 22, 23, 24
UNKNOWN_MEMBER, BAD_SESSION, REBALANCING, INVALID_REQUEST, NON_EMPTY, NOT_FOUND = 25, 26, 27, 42, 68, 69
MEMBER_ID_REQUIRED, FENCED_INSTANCE, SUBSCRIBED, UNKNOWN_PARTITION = 79, 82, 86, 3


def subscription(topic):
    """A consumer's metadata, version 0, for one topic."""
    name = topic.encode()
    return b'\0\0\0\0\0\1' + len(name).to_bytes(2, 'big') + name + b'\xff\xff\xff\xff'


def join_body(group, member='', session=10000, rebalance=5000, protocols=None, kind='consumer', instance=None):
    return {'group_id': group, 'session_timeout_ms': session, 'rebalance_timeout_ms': rebalance, 'member_id': member,
            'group_instance_id': instance, 'protocol_type': kind, 'protocols': PROTOCOL if protocols is None else protocols}


def commit_body(group, topic, offset, generation=-1, member='', metadata='', partition=0, instance=None):
    return {'group_id': group, 'generation_id_or_member_epoch': generation, 'member_id': member, 'group_instance_id': instance,
            'topics': [{'name': topic, 'partitions': [
                {'partition_index': partition, 'committed_offset': offset, 'committed_metadata': metadata}]}]}


def commit(c, *arguments, **named):
    """The code of the one partition."""
    return c.call('OffsetCommit', 7, commit_body(*arguments, **named))['topics'][0]['partitions'][0]['error_code']


def committed(c, group, topic, partition=0):
    answer = c.call('OffsetFetch', 5, {'group_id': group, 'topics': [{'name': topic, 'partition_indexes': [partition]}]})
    assert answer['error_code'] == 0, answer
    return answer['topics'][0]['partitions'][0]['committed_offset']


def coordinator(c, group):
    """Asks until it is there."""
    def found():
        return c.call('FindCoordinator', 1, {'key': group, 'key_type': 0})['error_code'] == 0
    assert cases.retry(found, 10), 'no coordinator'


def settle(c, group, instance=None, metadata=None):
    """A stable group of one member: (member id, generation)."""
    protocols = [{'name': 'range', 'metadata': metadata}] if metadata else None
    first = c.call('JoinGroup', 5, join_body(group, instance=instance, protocols=protocols))
    member = first['member_id'].decode()
    if first['error_code'] == MEMBER_ID_REQUIRED:
        first = c.call('JoinGroup', 5, join_body(group, member, protocols=protocols))
    assert first['error_code'] == 0 and first['leader'].decode() == member, first
    answer = c.call('SyncGroup', 3, {'group_id': group, 'generation_id': first['generation_id'], 'member_id': member,
                                     'group_instance_id': instance,
                                     'assignments': [{'member_id': member, 'assignment': b'mine'}]})
    assert answer['error_code'] == 0 and answer['assignment'] == b'mine', answer
    return member, first['generation_id']


class Groups:
    def __init__(self, bootstrap, prefix, weir):
        self.bootstrap, self.prefix, self.weir = bootstrap, prefix, weir
        self.topic = prefix + '-groups'
        with Raw(bootstrap) as c:
            assert c.create(self.topic, 2) == 0
            coordinator(c, prefix)

    def group(self, name):
        return '%s-%s' % (self.prefix, name)

    def find_coordinator(self):
        """Every key its coordinator; unknown key types are refused; transactions have none yet."""
        with Raw(self.bootstrap) as c:
            answer = c.call('FindCoordinator', 4, {'key_type': 0, 'coordinator_keys': ['a', 'b', '']})
            assert [k['error_code'] for k in answer['coordinators']] == [0, 0, 0], answer
            assert [k['key'] for k in answer['coordinators']] == [b'a', b'b', b''], answer
            assert c.call('FindCoordinator', 4, {'key_type': 7, 'coordinator_keys': ['a']})['coordinators'][0]['error_code'] \
                == INVALID_REQUEST
            if self.weir:
                assert c.call('FindCoordinator', 1, {'key_type': 1, 'key': 'a'})['error_code'] == COORDINATOR_NOT_AVAILABLE

    def offsets_topic(self):
        """The topic behind it: 50 partitions, internal, compacted."""
        with Raw(self.bootstrap) as c:
            topic = c.call('Metadata', 4, {'topics': [{'name': '__consumer_offsets'}], 'allow_auto_topic_creation': False})['topics'][0]
            assert topic['error_code'] == 0 and topic['is_internal'] and len(topic['partitions']) == 50, topic
            configs = c.call('DescribeConfigs', 1, {'resources': [{
                'resource_type': 2, 'resource_name': '__consumer_offsets', 'configuration_keys': None}]})['results'][0]['configs']
            found = {k['name'].decode(): k['value'].decode() for k in configs if k['value'] is not None}
            assert found['cleanup.policy'] == 'compact' and found['segment.bytes'] == '104857600', found

    def bad_joins(self):
        group = self.group('bad-joins')
        with Raw(self.bootstrap) as c:
            for wanted, body in ((INVALID_GROUP, join_body('')), (BAD_SESSION, join_body(group, session=100)),
                                 (BAD_SESSION, join_body(group, session=2000000000)), (UNKNOWN_MEMBER, join_body(group, 'stranger')),
                                 (INCONSISTENT, join_body(group, protocols=[])), (INCONSISTENT, join_body(group, kind=''))):
                for version in (0, 3, 5):
                    got = c.call('JoinGroup', version, body)['error_code']
                    assert got == wanted, 'version %d of %r: %d instead of %d' % (version, body, got, wanted)
            assert c.call('DescribeGroups', 1, {'groups': [group]})['groups'][0]['group_state'] == b'Dead', 'it left a trace'

    def member_id_required(self):
        """KIP-394: from version 4 on a stranger is given an id first."""
        group = self.group('required')
        with Raw(self.bootstrap) as c:
            answer = c.call('JoinGroup', 4, join_body(group))
            assert answer['error_code'] == MEMBER_ID_REQUIRED and answer['member_id'], answer
            again = c.call('JoinGroup', 4, join_body(group, answer['member_id'].decode()))
            assert again['error_code'] == 0 and again['generation_id'] == 1 and again['protocol_name'] == b'range', again
            assert again['leader'] == again['member_id'] == answer['member_id'], again

    def strangers(self):
        """Wrong members and generations in a stable group: its state stays what it was."""
        group = self.group('strangers')
        with Raw(self.bootstrap) as c:
            member, generation = settle(c, group)
            for name, version in (('Heartbeat', 1), ('SyncGroup', 1)):
                body = {'group_id': group, 'generation_id': generation, 'member_id': 'stranger'}
                assert c.call(name, version, body)['error_code'] == UNKNOWN_MEMBER, name
                assert c.call(name, version, dict(body, member_id=member, generation_id=generation + 1))['error_code'] == ILLEGAL_GENERATION
                assert c.call(name, version, dict(body, group_id=''))['error_code'] == INVALID_GROUP, name
            assert c.call('LeaveGroup', 1, {'group_id': group, 'member_id': 'stranger'})['error_code'] == UNKNOWN_MEMBER
            assert commit(c, group, self.topic, 5, generation + 1, member) == ILLEGAL_GENERATION
            assert commit(c, group, self.topic, 5, generation, 'stranger') == UNKNOWN_MEMBER
            assert commit(c, group, self.topic, 5) in (UNKNOWN_MEMBER, ILLEGAL_GENERATION), 'a simple commit beside members'
            assert committed(c, group, self.topic) == -1
            assert commit(c, group, self.topic, 5, generation, member) == 0 and committed(c, group, self.topic) == 5
            assert c.call('Heartbeat', 1, {'group_id': group, 'generation_id': generation, 'member_id': member})['error_code'] == 0

    def bad_commits(self):
        group = self.group('bad-commits')
        with Raw(self.bootstrap) as c:
            assert commit(c, group, self.topic, 1, partition=9) == UNKNOWN_PARTITION
            assert commit(c, group, self.topic + '-none', 1) == UNKNOWN_PARTITION
            assert commit(c, group, self.topic, 1, metadata='m' * 4097) == OFFSET_TOO_LARGE
            assert committed(c, group, self.topic) == -1, 'something was stored'
            assert commit(c, group, self.topic, 1, generation=3, member='who') in (ILLEGAL_GENERATION, UNKNOWN_MEMBER)
            assert commit(c, group, self.topic, 1, metadata='m' * 4096) == 0 and committed(c, group, self.topic) == 1
            answer = c.call('OffsetCommit', 7, {'group_id': group, 'generation_id_or_member_epoch': -1, 'member_id': '', 'topics': [
                {'name': self.topic, 'partitions': [{'partition_index': i, 'committed_offset': 7} for i in (0, 1, 2)]},
                {'name': self.topic + '-none', 'partitions': [{'partition_index': 0, 'committed_offset': 7}]}]})
            got = [[p['error_code'] for p in t['partitions']] for t in answer['topics']]
            assert got == [[0, 0, UNKNOWN_PARTITION], [UNKNOWN_PARTITION]], got

    def empty_group_id(self):
        """Offsets may be kept under the empty id; nothing can join it."""
        with Raw(self.bootstrap) as c:
            assert commit(c, '', self.topic, 11) == 0 and committed(c, '', self.topic) == 11
            assert c.call('JoinGroup', 2, join_body(''))['error_code'] == INVALID_GROUP

    def deletes(self):
        group, idle = self.group('live'), self.group('idle')
        with Raw(self.bootstrap) as c:
            member, generation = settle(c, group, metadata=subscription(self.topic))
            assert commit(c, group, self.topic, 5, generation, member) == 0
            assert commit(c, idle, self.topic, 5) == 0
            results = c.call('DeleteGroups', 1, {'groups_names': [group, idle, self.group('none')]})['results']
            assert {r['group_id'].decode(): r['error_code'] for r in results} == {group: NON_EMPTY, idle: 0, self.group('none'): NOT_FOUND}, results
            assert committed(c, group, self.topic) == 5 and committed(c, idle, self.topic) == -1
            body = {'group_id': group, 'topics': [{'name': self.topic, 'partitions': [{'partition_index': 0}]}]}
            answer = c.call('OffsetDelete', 0, body)
            assert answer['error_code'] == 0 and answer['topics'][0]['partitions'][0]['error_code'] == SUBSCRIBED, answer
            assert c.call('OffsetDelete', 0, dict(body, group_id=self.group('none')))['error_code'] == NOT_FOUND
            assert c.call('LeaveGroup', 1, {'group_id': group, 'member_id': member})['error_code'] == 0
            answer = c.call('OffsetDelete', 0, body)
            assert answer['error_code'] == 0 and answer['topics'][0]['partitions'][0]['error_code'] == 0, answer
            assert committed(c, group, self.topic) == -1

    def static_members(self):
        """KIP-345: the instance's newest member wins, the one before is fenced; it comes back without a rebalance."""
        group = self.group('static')
        with Raw(self.bootstrap) as c:
            member, generation = settle(c, group, instance='one')
            again = c.call('JoinGroup', 5, join_body(group, instance='one'))
            assert again['error_code'] == 0 and again['generation_id'] == generation and again['member_id'].decode() != member, again
            body = {'group_id': group, 'generation_id': generation, 'member_id': member, 'group_instance_id': 'one'}
            assert c.call('Heartbeat', 3, body)['error_code'] == FENCED_INSTANCE
            assert c.call('SyncGroup', 3, body)['error_code'] == FENCED_INSTANCE
            assert commit(c, group, self.topic, 5, generation, member, instance='one') == FENCED_INSTANCE
            answer = c.call('LeaveGroup', 3, {'group_id': group, 'members': [{'member_id': '', 'group_instance_id': 'one'}]})
            assert answer['error_code'] == 0 and answer['members'][0]['error_code'] == 0, answer

    def inconsistent_protocol(self):
        group = self.group('inconsistent')
        with Raw(self.bootstrap) as c:
            settle(c, group)
            for body in (join_body(group, protocols=[{'name': 'other', 'metadata': b''}]), join_body(group, kind='connect')):
                assert c.call('JoinGroup', 3, body)['error_code'] == INCONSISTENT

    def waiting_join_closed(self):
        """A member whose connection goes while it waits keeps nobody up longer than its session; the rest of the group goes on."""
        group = self.group('closed')
        with Raw(self.bootstrap) as c:
            member, generation = settle(c, group)
            with Raw(self.bootstrap) as other:
                other.send('JoinGroup', 3, join_body(group, session=6000))
                time.sleep(0.2)
            assert cases.retry(lambda: c.call('Heartbeat', 1, {
                'group_id': group, 'generation_id': generation, 'member_id': member})['error_code'] == REBALANCING, 3)
            begin = time.monotonic()
            joined = c.call('JoinGroup', 3, join_body(group, member, rebalance=5000))
            assert joined['error_code'] == 0 and time.monotonic() - begin < 8, joined
            body = {'group_id': group, 'generation_id': joined['generation_id'], 'member_id': member, 'assignments': []}
            assert c.call('SyncGroup', 1, body)['error_code'] == 0

    def describe_and_list(self):
        """Unknown groups are Dead, states filter the list, operations are told when asked for, many groups fit one request."""
        group, empty = self.group('shown'), self.group('shown-empty')
        with Raw(self.bootstrap) as c:
            member, _ = settle(c, group)
            assert commit(c, empty, self.topic, 1) == 0
            answer = c.call('DescribeGroups', 4, {'groups': [group, empty, self.group('none')], 'include_authorized_operations': True})
            shown = {g['group_id'].decode(): g for g in answer['groups']}
            assert [shown[g]['group_state'] for g in (group, empty, self.group('none'))] == [b'Stable', b'Empty', b'Dead'], shown
            found, = shown[group]['members']
            assert found['member_id'].decode() == member and found['client_id'] == b'raw' and found['client_host'] == b'/127.0.0.1', found
            assert found['member_assignment'] == b'mine' and shown[group]['authorized_operations'] > 0, found
            stable = {g['group_id'].decode() for g in c.call('ListGroups', 4, {'states_filter': ['Stable']})['groups']}
            everyone = {g['group_id'].decode() for g in c.call('ListGroups', 4, {'states_filter': []})['groups']}
            assert group in stable and empty not in stable and {group, empty} <= everyone, (stable, everyone)
            many = ['%s-%d' % (group, i) for i in range(2000)]
            answer = c.call('DescribeGroups', 4, {'groups': many})
            assert [g['group_id'].decode() for g in answer['groups']] == many and {g['group_state'] for g in answer['groups']} == {b'Dead'}

    def fetch_many_groups(self):
        """KIP-709: several groups, all offsets or some, in one request."""
        names = [self.group('many-%d' % i) for i in range(20)]
        with Raw(self.bootstrap) as c:
            for i, name in enumerate(names):
                assert commit(c, name, self.topic, i) == 0
            answer = c.call('OffsetFetch', 8, {'groups': [
                {'group_id': n, 'topics': None if i % 2 else [{'name': self.topic, 'partition_indexes': [0, 1]}]}
                for i, n in enumerate(names)]})
            for i, g in enumerate(answer['groups']):
                parts = g['topics'][0]['partitions']
                assert g['group_id'].decode() == names[i] and g['error_code'] == 0 and parts[0]['committed_offset'] == i, g
                assert len(parts) == 2 - i % 2, g
            for version in range(0, 8):
                answer = c.call('OffsetFetch', version, {'group_id': names[3], 'topics': [{'name': self.topic, 'partition_indexes': [0]}]})
                assert answer['topics'][0]['partitions'][0]['committed_offset'] == 3, (version, answer)

    def pipelined(self):
        """A hundred commits in one write: every answer, in order, and the last one stands."""
        group = self.group('pipelined')
        with Raw(self.bootstrap) as c:
            sent = [c.send('OffsetCommit', 7, commit_body(group, self.topic, i)) for i in range(100)]
            got = [c.read('OffsetCommit', 7) for _ in sent]
            assert [correlation for correlation, _ in got] == sent
            assert all(a['topics'][0]['partitions'][0]['error_code'] == 0 for _, a in got)
            assert committed(c, group, self.topic) == 99


def run(report, bootstrap, prefix, weir):
    g = Groups(bootstrap, prefix, weir)
    for name in ('find_coordinator', 'offsets_topic', 'bad_joins', 'member_id_required', 'strangers', 'bad_commits', 'empty_group_id',
                 'deletes', 'static_members', 'inconsistent_protocol', 'waiting_join_closed', 'describe_and_list', 'fetch_many_groups',
                 'pipelined'):
        report.run('groups-' + name.replace('_', '-'), getattr(g, name))
