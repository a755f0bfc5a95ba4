// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "raft/raft.h"

static struct raft_id id_of(int32_t node)
{
    struct raft_id id = {.node = node};
    id.directory.b[15] = (uint8_t)node;
    return id;
}

struct solo {
    struct raft r;
    struct raft_effects fx;
    uint64_t now_ms;
};

static enum rc step(struct solo *s, struct raft_event ev)
{
    ev.now_ms = s->now_ms;
    ev.random = 7;
    return raft_step(&s->r, &ev, &s->fx);
}

static void begin_as(struct solo *s, int32_t self, uint32_t voters)
{
    struct raft_config c = {.self = id_of(self),
                            .election_timeout_ms = 100,
                            .heartbeat_ms = 20,
                            .window_bytes_max = 1000,
                            .uncommitted_bytes_max = 3 << 20};
    struct raft_hard_state hard = {.term = 1, .vote = raft_id_none()};
    struct raft_snapshot none = {0};
    cr_assert_eq(raft_init(&s->r, &c, &hard, &none), RC_OK);
    struct raft_voters v = {.count = voters};
    for (uint32_t i = 0; i < voters; i++)
        v.ids[i] = id_of((int32_t)i + 1);
    uint8_t bytes[RAFT_VOTERS_BYTES_MAX];
    size_t n = raft_voters_encode(&v, bytes);
    struct raft_entry first = {.index = 1, .term = 1, .type = RAFT_ENTRY_VOTERS, .payload = bytes_of(bytes, n)};
    cr_assert_eq(raft_restore(&s->r, &first), RC_OK);
    s->now_ms = 10;
    raft_start(&s->r, s->now_ms, 7);
}

static void begin(struct solo *s, uint32_t voters)
{
    begin_as(s, 1, voters);
}

Test(raft, an_observer_of_a_single_voter_hears_nothing_before_the_vote_is_durable)
{
    static struct solo s;
    begin(&s, 1);
    const struct raft_id other = id_of(9);
    step(&s, (struct raft_event){.kind = RAFT_OBSERVERS, .observers = &other, .observer_count = 1});
    step(&s, (struct raft_event){.kind = RAFT_TICK});
    cr_assert_eq(s.fx.append_count, 0, "an entry of a term that is not durable yet might be sent");
    cr_assert_eq(s.fx.send_count, 0);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.fx.ticket});
    cr_assert_eq(s.r.role, RAFT_LEADER);
    cr_assert_eq(s.fx.append_count, 1);
    cr_assert_not(raft_leads(&s.r), "its first entry is not committed yet");
    raft_deinit(&s.r);
}

Test(raft, an_observer_that_comes_meanwhile_is_sent_the_first_entry_once_the_vote_is_durable)
{
    static struct solo s;
    begin(&s, 1);
    const struct raft_id other = id_of(9);
    step(&s, (struct raft_event){.kind = RAFT_TICK});
    uint64_t ticket = s.fx.ticket;
    step(&s, (struct raft_event){.kind = RAFT_OBSERVERS, .observers = &other, .observer_count = 1});
    cr_assert_eq(s.fx.send_count, 0);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = ticket});
    cr_assert(raft_leads(&s.r));
    bool sent = false;
    for (uint32_t i = 0; i < s.fx.send_count; i++)
        sent |= s.fx.send[i].message.kind == RAFT_APPEND && s.fx.send[i].message.first_entry == 2;
    cr_assert(sent);
    raft_deinit(&s.r);
}

Test(raft, who_formed_a_cluster_of_one_leads_its_first_term_and_only_then)
{
    static struct solo s;
    const struct raft_id self = id_of(1);
    const struct raft_config c = {.self = self, .election_timeout_ms = 1000, .heartbeat_ms = 250};
    for (int formed = 1; formed >= 0; formed--) {
        struct raft_voters v = {.count = 1, .ids = {self}};
        uint8_t bytes[RAFT_VOTERS_BYTES_MAX];
        size_t n = raft_voters_encode(&v, bytes);
        struct raft_entry first = {.index = 1, .term = 1, .type = RAFT_ENTRY_VOTERS, .payload = bytes_of(bytes, n)};
        raft_init(&s.r, &c, &(struct raft_hard_state){.term = 1, .vote = self}, &(struct raft_snapshot){0});
        cr_assert_eq(raft_restore(&s.r, &first), RC_OK);
        raft_start(&s.r, s.now_ms, 7);
        if (formed)
            raft_form_alone(&s.r);
        step(&s, (struct raft_event){.kind = RAFT_TICK});
        cr_assert_eq(s.r.hard.term, formed ? 1 : 2, "a restart never leads a term that an earlier process may have led");
        cr_assert_eq(raft_leads(&s.r), formed);
        cr_assert_eq(s.fx.ticket == 0, formed, "what it rests on is on disk");
        raft_deinit(&s.r);
    }
}

Test(raft, a_single_voter_leads_once_its_vote_is_durable)
{
    static struct solo s;
    begin(&s, 1);
    cr_assert_eq(raft_deadline_ms(&s.r), s.now_ms);
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_TICK}), RC_OK);
    cr_assert_eq(s.r.role, RAFT_CANDIDATE);
    cr_assert(s.fx.hard_changed && s.fx.hard.term == 2 && s.fx.ticket != 0);
    cr_assert_eq(s.fx.append_count, 1, "its first entry goes to disk with the vote");
    cr_assert_eq(s.fx.commit_index, 1, "and counts no sooner");
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.fx.ticket}), RC_OK);
    cr_assert_eq(s.r.role, RAFT_LEADER);
    cr_assert_eq(s.fx.append_count, 0);
    cr_assert(raft_leads(&s.r));
    cr_assert_eq(s.fx.commit_index, 2);
    cr_assert_eq(raft_deadline_ms(&s.r), UINT64_MAX, "an idle single node sets no timer");
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_PROPOSE, .payload = bytes_str("x")}), RC_OK);
    cr_assert_eq(s.fx.proposed, 3);
    cr_assert_eq(s.fx.commit_index, 2, "not before it is durable");
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.fx.ticket});
    cr_assert_eq(s.fx.commit_index, 3);
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_READ, .context = 5}), RC_OK);
    cr_assert(s.fx.read_count == 1 && s.fx.reads[0].context == 5 && s.fx.reads[0].index == 3);
    raft_deinit(&s.r);
}

Test(raft, one_of_three_asks_before_it_raises_its_term)
{
    static struct solo s;
    begin(&s, 3);
    cr_assert_gt(raft_deadline_ms(&s.r), s.now_ms);
    cr_assert_eq(s.r.commit, 0, "what others have is unknown");
    s.now_ms = raft_deadline_ms(&s.r);
    step(&s, (struct raft_event){.kind = RAFT_TICK});
    cr_assert_eq(s.r.role, RAFT_PRE_CANDIDATE);
    cr_assert_eq(s.fx.ticket, 0);
    cr_assert_eq(s.fx.send_count, 2);
    cr_assert(s.fx.send[0].message.kind == RAFT_PRE_VOTE && s.fx.send[0].message.term == 2);
    cr_assert_eq(s.r.hard.term, 1);
    // A grant meant for the folder this node had before is nobody's.
    struct raft_message m = {
        .kind = RAFT_PRE_VOTE_ANSWER, .from = id_of(2), .to = id_of(1), .term = 2, .granted = true};
    m.to.directory.b[0] = 99;
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.r.role, RAFT_PRE_CANDIDATE);
    m.to = id_of(1);
    m.from.directory.b[0] = 99; // nor one from a member that lost its disk
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.r.role, RAFT_PRE_CANDIDATE);
    m.from = id_of(2);
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.r.role, RAFT_CANDIDATE);
    cr_assert_eq(s.r.hard.term, 2);
    for (uint32_t i = 0; i < s.fx.send_count; i++)
        cr_assert_eq(s.fx.send[i].ticket, s.fx.ticket, "a request rests on the own vote");
    uint64_t ticket = s.fx.ticket;
    m.kind = RAFT_VOTE_ANSWER;
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.r.role, RAFT_CANDIDATE, "the own vote counts only when it is durable");
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = ticket});
    cr_assert_eq(s.r.role, RAFT_LEADER);
    raft_deinit(&s.r);
}

// Standing together, two voters that see a leader die in the same moment would split the votes.
Test(raft, who_see_their_leader_die_stand_one_after_the_other)
{
    for (int32_t self = 1; self <= 2; self++) {
        static struct solo s;
        begin_as(&s, self, 3);
        struct raft_message m = {
            .kind = RAFT_APPEND, .from = id_of(3), .to = id_of(self), .term = 1, .log_index = 1, .log_term = 1};
        cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m}), RC_OK);
        cr_assert_eq(s.r.leader.node, 3);
        step(&s, (struct raft_event){.kind = RAFT_LEADER_LOST});
        cr_assert_eq(s.r.role, self == 1 ? RAFT_PRE_CANDIDATE : RAFT_FOLLOWER);
        if (self == 2) {
            cr_assert_eq(raft_deadline_ms(&s.r), s.now_ms + RAFT_STAND_APART_MS);
            m = (struct raft_message){
                .kind = RAFT_PRE_VOTE, .from = id_of(1), .to = id_of(2), .term = 2, .log_index = 1, .log_term = 1};
            step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
            cr_assert(s.fx.send_count == 1 && s.fx.send[0].message.granted, "it helps the first one at once");
            s.now_ms = raft_deadline_ms(&s.r);
            step(&s, (struct raft_event){.kind = RAFT_TICK});
            cr_assert_eq(s.r.role, RAFT_PRE_CANDIDATE, "and stands itself when that comes to nothing");
        }
        raft_deinit(&s.r);
    }
}

static void answer(struct solo *s, struct raft_message m)
{
    m.from = id_of(2);
    m.to = id_of(1);
    m.term = m.term ? m.term : s->r.hard.term;
    m.granted = true;
    step(s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
}

// Node 2 votes for it in term 2.
static void stand_for_election(struct solo *s)
{
    s->now_ms = raft_deadline_ms(&s->r);
    step(s, (struct raft_event){.kind = RAFT_TICK});
    answer(s, (struct raft_message){.kind = RAFT_PRE_VOTE_ANSWER, .term = 2});
    step(s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s->r.ticket_last});
    answer(s, (struct raft_message){.kind = RAFT_VOTE_ANSWER});
}

// Figure 8 of the Raft paper: a majority that holds an older term's entry says nothing yet.
Test(raft, an_older_terms_entry_is_committed_only_through_one_of_the_own_term)
{
    static struct solo s;
    begin(&s, 3);
    stand_for_election(&s);
    cr_assert_eq(s.r.role, RAFT_LEADER);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.r.ticket_last});
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 1});
    cr_assert_eq(s.fx.commit_index, 0);
    struct raft_id id = id_of(4);
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_CHANGE_ADD, .id = id}), RC_AGAIN,
                 "no change of members before an entry of the own term is committed");
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 2});
    cr_assert_eq(s.fx.commit_index, 2);
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_CHANGE_REMOVE, .id = id_of(3)}), RC_OK);
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_CHANGE_REMOVE, .id = id_of(2)}), RC_AGAIN,
                 "one change at a time");
    cr_assert_eq(raft_voters(&s.r)->count, 2, "in force from its append");
    raft_deinit(&s.r);
}

// What the last step tells a node of the commit by a heartbeat; 0: nothing.
static uint64_t told(const struct solo *s, int32_t node)
{
    for (uint32_t i = 0; i < s->fx.send_count; i++) {
        const struct raft_message *m = &s->fx.send[i].message;
        if (m->kind == RAFT_HEARTBEAT && m->to.node == node)
            return m->commit;
    }
    return 0;
}

Test(raft, who_holds_what_is_committed_hears_of_it_at_once)
{
    static struct solo s;
    begin(&s, 3);
    stand_for_election(&s);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.r.ticket_last});
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 2});
    cr_assert_eq(s.fx.commit_index, 2);
    cr_assert(told(&s, 2) == 2 && told(&s, 3) == 0, "the third does not hold it yet");
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 2});
    cr_assert_eq(told(&s, 2), 0, "once");
    raft_deinit(&s.r);
}

static const struct raft_message *append_to(const struct solo *s, int32_t node, uint32_t *count)
{
    const struct raft_message *found = NULL;
    *count = 0;
    for (uint32_t i = 0; i < s->fx.send_count; i++)
        if (s->fx.send[i].message.kind == RAFT_APPEND && s->fx.send[i].message.to.node == node) {
            found = &s->fx.send[i].message;
            ++*count;
        }
    return found;
}

// An answer of node 2 to the newest heartbeat, and what it is sent for that: its entries' number, -1 for no append.
static int after_heartbeat(struct solo *s)
{
    uint32_t count;
    s->now_ms = raft_deadline_ms(&s->r);
    step(s, (struct raft_event){.kind = RAFT_TICK});
    answer(s, (struct raft_message){.kind = RAFT_HEARTBEAT_ANSWER, .round = s->r.round});
    const struct raft_message *m = append_to(s, 2, &count);
    cr_assert_leq(count, 1);
    return m ? (int)m->entry_count : -1;
}

static void refuse(struct solo *s, uint64_t log_index, uint64_t hint_index)
{
    struct raft_message m = {.kind = RAFT_APPEND_ANSWER,
                             .from = id_of(2),
                             .to = id_of(1),
                             .term = s->r.hard.term,
                             .log_index = log_index,
                             .hint_index = hint_index};
    step(s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
}

// On a slow link heartbeats and their answers overtake entries; what waits for the link must not be sent with each of them.
Test(raft, entries_under_way_are_sent_again_only_when_their_loss_is_known)
{
    static struct solo s;
    uint32_t count;
    begin(&s, 3);
    stand_for_election(&s);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.r.ticket_last});
    // The first append of its office is under way: nobody knows yet where node 2 stands.
    for (int i = 0; i < 50; i++)
        cr_assert_eq(after_heartbeat(&s), 0);
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 2});
    cr_assert_eq(after_heartbeat(&s), -1, "it has everything");
    // Known to be in step: each entry goes once.
    for (int i = 0; i < 3; i++) {
        step(&s, (struct raft_event){.kind = RAFT_PROPOSE, .payload = bytes_str("x")});
        const struct raft_message *m = append_to(&s, 2, &count);
        cr_assert(m && count == 1 && m->entry_count == 1 && m->first_entry == 3 + (uint64_t)i);
    }
    for (int i = 0; i < 50; i++)
        cr_assert_eq(after_heartbeat(&s), 0);
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 3});
    cr_assert_null(append_to(&s, 2, &count));
    cr_assert_eq(after_heartbeat(&s), 0);
    // Entries 4 and 5 were lost: a refusal of what was sent behind them says so, and those behind it say nothing new.
    refuse(&s, 5, 4);
    const struct raft_message *m = append_to(&s, 2, &count);
    cr_assert(m && count == 1 && m->first_entry == 4 && m->entry_count == 2);
    refuse(&s, 5, 4);
    cr_assert_null(append_to(&s, 2, &count));
    cr_assert_eq(after_heartbeat(&s), 0);
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 5});
    cr_assert_eq(after_heartbeat(&s), -1);
    raft_deinit(&s.r);
}

// With as many appends on their way as may be, more wait; an answer to the last one stands for all whose answers were lost.
Test(raft, lost_answers_do_not_hold_up_what_follows)
{
    static struct solo s;
    uint32_t count;
    begin(&s, 3);
    stand_for_election(&s);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.r.ticket_last});
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 2});
    for (int i = 0; i < RAFT_INFLIGHT_MAX + 2; i++) {
        cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_PROPOSE, .payload = bytes_str("x")}), RC_OK);
        cr_assert_eq(append_to(&s, 2, &count) != NULL, i < RAFT_INFLIGHT_MAX);
    }
    cr_assert_eq(after_heartbeat(&s), 0);
    answer(&s, (struct raft_message){.kind = RAFT_APPEND_ANSWER, .match = 2 + RAFT_INFLIGHT_MAX});
    const struct raft_message *m = append_to(&s, 2, &count);
    cr_assert(m && count == 1 && m->entry_count == 2, "both that waited, in one");
    for (int i = 0; i < RAFT_INFLIGHT_MAX - 1; i++) {
        step(&s, (struct raft_event){.kind = RAFT_PROPOSE, .payload = bytes_str("x")});
        cr_assert_not_null(append_to(&s, 2, &count));
    }
    raft_deinit(&s.r);
}

Test(raft, a_follower_confirms_only_what_is_durable)
{
    static struct solo s;
    begin(&s, 3);
    struct raft_entry e = {.index = 2, .term = 3, .type = RAFT_ENTRY_DATA, .payload = bytes_str("a")};
    struct raft_message m = {.kind = RAFT_APPEND,
                             .from = id_of(2),
                             .to = id_of(1),
                             .term = 3,
                             .log_index = 1,
                             .log_term = 1,
                             .first_entry = 2,
                             .entry_count = 1,
                             .entries = &e};
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.fx.send_count, 1);
    cr_assert(s.fx.send[0].message.granted && s.fx.send[0].message.match == 2);
    cr_assert_eq(s.fx.send[0].ticket, s.fx.ticket);
    uint64_t ticket = s.fx.ticket;
    // The same again, before the disk is done: still to wait.
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.fx.append_count, 0);
    cr_assert_eq(s.fx.send[0].ticket, ticket);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = ticket});
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.fx.send[0].ticket, 0);
    // Another leader's entry in its place takes it back.
    e.term = 4;
    m.term = 4;
    m.from = id_of(3);
    step(&s, (struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
    cr_assert_eq(s.fx.truncate_from, 2);
    cr_assert_eq(s.r.durable_index, 1);
    raft_deinit(&s.r);
}

Test(raft, voters_survive_as_bytes)
{
    struct raft_voters v = {.count = 3, .ids = {id_of(1), id_of(2), id_of(9)}}, back;
    uint8_t bytes[RAFT_VOTERS_BYTES_MAX];
    size_t n = raft_voters_encode(&v, bytes);
    cr_assert_eq(raft_voters_decode(bytes_of(bytes, n), &back), RC_OK);
    cr_assert(back.count == 3 && raft_is_voter(&back, id_of(9)) && !raft_is_voter(&back, id_of(3)));
    for (size_t cut = 0; cut < n; cut++)
        cr_assert_neq(raft_voters_decode(bytes_of(bytes, cut), &back), RC_OK);
    bytes[0] = 1;
    cr_assert_eq(raft_voters_decode(bytes_of(bytes, n), &back), RC_UNSUPPORTED_VERSION);
}

Test(raft, payloads_have_a_limit)
{
    static struct solo s;
    begin(&s, 1);
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_PROPOSE, .payload = bytes_str("x")}), RC_NOT_CONTROLLER);
    step(&s, (struct raft_event){.kind = RAFT_TICK});
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.fx.ticket});
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.fx.ticket});
    static uint8_t large[METADATA_ENTRY_BYTES_MAX + 1];
    cr_assert_eq(step(&s, (struct raft_event){.kind = RAFT_PROPOSE, .payload = bytes_of(large, sizeof(large))}),
                 RC_MESSAGE_TOO_LARGE);
    struct raft_event full = {.kind = RAFT_PROPOSE, .payload = bytes_of(large, METADATA_ENTRY_BYTES_MAX)};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(step(&s, full), RC_OK);
    cr_assert_eq(step(&s, full), RC_FULL);
    step(&s, (struct raft_event){.kind = RAFT_DURABLE, .ticket = s.r.ticket_last});
    cr_assert_eq(step(&s, full), RC_OK);
    raft_deinit(&s.r);
}
