-- What operators do about many payments at once is a row itself: which payments, as they were then, how far it has come, and
-- who asked. Whoever comes first carries the next part of it out, so it survives the command that began it.

-- kind: domain::delivery::operator::ActKind.
create table act (
    act_id      uuid primary key,
    kind        text not null check (kind in ('requeue', 'stop', 'resume')),
    who         text not null,
    reason      text,
    -- What was asked for, as it was frozen: {"named": 3}, or the members of store::payments::Filter.
    filter      jsonb not null,
    -- The operator is certain that none was credited: only of payments that were named one by one.
    certain     boolean not null default false,
    -- At most so many made due a second, by this server's clock; null = as fast as it goes.
    rate        integer check (rate between 1 and 100000),
    state       text not null default 'running' check (state in ('running', 'paused', 'done', 'cancelled')),
    matched     bigint not null default 0,
    -- Items up to this ordinal were come to.
    reached     bigint not null default 0,
    done        bigint not null default 0,
    changed     bigint not null default 0,
    refused     bigint not null default 0,
    -- How many by what was done (pay, status, stop), and by why not.
    done_as     jsonb not null default '{}',
    reasons     jsonb not null default '{}',
    created_at  timestamptz not null default clock_timestamp(),
    -- When its next part may be carried out, and who carried out the last one.
    next_at     timestamptz not null default clock_timestamp(),
    carried_by  text,
    carried_at  timestamptz,
    finished_at timestamptz,
    ended_by    text,
    check (not certain or filter ? 'named'),
    check ((state in ('done', 'cancelled')) = (finished_at is not null)),
    check (state <> 'done' or done + changed + refused = matched)
);
create index act_running on act (next_at) where state = 'running';

-- The payments of an act with what was seen of them. An act changes only what is still so.
create table act_item (
    act_id     uuid not null references act,
    ordinal    bigint not null,
    payment_id uuid not null,
    state      text not null,
    generation integer not null,
    -- Calls about it that had ended: who is certain of a payment is certain of these.
    ended_calls integer not null,
    outcome    text not null default 'waiting' check (outcome in ('waiting', 'done', 'changed', 'refused', 'cancelled')),
    -- What was done (pay, status, stop), or why not.
    did        text,
    why        text,
    ended_at   timestamptz,
    primary key (act_id, ordinal),
    check ((outcome = 'waiting') = (ended_at is null)),
    check ((outcome = 'done') = (did is not null)),
    check ((outcome = 'refused') = (why is not null))
);
-- At most one outstanding act per payment.
create unique index act_item_outstanding on act_item (payment_id) where outcome = 'waiting';
create index act_item_payment on act_item (payment_id);

-- The act (or the reconciliation) that made a payment due; its next call is that act's, and the calls after it are automatic again.
alter table payment add column act_id uuid;
alter table attempt add column act_id uuid;

-- Who holds a lane back, beside the declaration: `paused` stays true while either does.
alter table lane
    add column held_by     text,
    add column held_at     timestamptz,
    add column held_reason text,
    add constraint lane_held check ((held_at is null) = (held_by is null));

-- An error without what differs from payment to payment: ids and numbers, but not the codes that name the trouble.
create function error_cause(error text) returns text language sql immutable parallel safe as $$
    select regexp_replace(
        regexp_replace(error, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\m(?=[a-f]*[0-9])[0-9a-f]{10,}\M', '#', 'gi'),
        '(?<![0-9])(?<!(HTTP|status|code|result|error) )[0-9]+', '#', 'gi')
$$;
