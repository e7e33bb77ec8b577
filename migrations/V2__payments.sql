-- Payments from acceptance to their end, and the delivery of those whose payee is online.

-- What the payee sees as the number: gaps are allowed, an epoch is put in front of it after a lossy restore.
create sequence payment_number as bigint minvalue 1;

-- One row. Whoever takes positions locks it last, so positions rise in commit order and accepted_at never falls.
create table ledger (
    only_row     boolean primary key default true check (only_row),
    epoch        smallint not null default 0 check (epoch between 0 and 9),
    last_position bigint not null default 0,
    clock        timestamptz not null default clock_timestamp()
);
insert into ledger default values;

-- Every payment id ever seen, never partitioned. `revoked` and `settled` are ids refused before a payment came.
create table payment_identity (
    payment_id  uuid primary key,
    number      bigint unique,
    fingerprint bytea,
    disposition text not null check (disposition in ('accepted', 'revoked', 'settled')),
    terminal_id text,
    accepted_at timestamptz not null default clock_timestamp(),
    check ((disposition = 'accepted') = (fingerprint is not null and number is not null))
);

-- Revocations in advance under an id that another terminal had revoked in advance. Whose payment comes is not known then, and each
-- revocation is about its own terminal's.
create table revoked_besides (
    payment_id  uuid not null,
    terminal_id text not null,
    revoked_at  timestamptz not null default clock_timestamp(),
    primary key (payment_id, terminal_id)
);

-- One sequence of registers of a payee. Positions up to last_hi are in closed registers.
create table series (
    series_id     bigint generated always as identity primary key,
    payee_id      text not null references payee,
    name          text not null default 'main',
    last_hi       bigint not null default 0,
    last_sequence integer not null default 0,
    last_cutoff   timestamptz not null default clock_timestamp(),
    unique (payee_id, name)
);

-- The states of an online payment are domain::payment::PaymentState; `registered` and `reported` are not stored but
-- follow from the register whose range holds the position (view payment_view), so closing a register of a million
-- payments writes one row.
create table payment (
    payment_id     uuid primary key,
    number         bigint not null,
    payee_id       text not null,
    payee_version  integer not null,
    gateway        text not null check (gateway in ('registers', 'unikassa', 'databases')),
    terminal_id    text not null,
    account        text not null,
    amount         bigint not null check (amount between 1 and 9007199254740991),
    fee            bigint not null default 0 check (fee between 0 and 9007199254740991),
    currency       text not null check (currency ~ '^[A-Z]{3}$'),
    fields         jsonb not null default '{}',
    receipt_number text,
    paid_at        timestamptz not null,
    accepted_at    timestamptz not null,
    -- Of series. No foreign key: rows get it from series in the statement that inserts them, series are never deleted,
    -- and a key lock per payment would cost as much as an index.
    series_id      bigint,
    position       bigint,
    state          text not null default 'accepted' check (state in ('accepted', 'delivering', 'waiting', 'delivered',
                       'refused', 'unknown', 'failed', 'stopped', 'revoking', 'revoked')),
    -- Raised by every operator's act; an act on a generation that has moved on is "changed meanwhile".
    generation     integer not null default 0,
    -- What is done next and when; null when nothing is to be done by itself.
    next_act       text check (next_act in ('pay', 'status', 'cancel')),
    due_at         timestamptz,
    -- The step of the retry schedule, attempts so far, and how many of them ended as maybe (may have credited).
    step           integer not null default 0,
    attempts       integer not null default 0,
    maybes         integer not null default 0,
    not_found      integer not null default 0,
    give_up_at     timestamptz,
    last_call_at   timestamptz,
    last_error     text,
    provider_reference text,
    -- Why the terminal took it back, for the payee that is asked to.
    revoke_reason  text,
    -- What stood out, in the order in which it came: already_on_first_attempt, number_conflict, ... Some ask for a person.
    flags          text[] not null default '{}',
    traceparent    text,
    updated_at     timestamptz not null default clock_timestamp(),
    check ((gateway = 'registers') = (position is not null)),
    check ((position is null) = (series_id is null)),
    check (gateway <> 'registers' or state in ('accepted', 'revoked', 'stopped')),
    check ((due_at is null) = (next_act is null)),
    check (due_at is null or state in ('accepted', 'waiting', 'unknown', 'revoking'))
);
create index payment_due on payment (payee_id, due_at, number) where due_at is not null;
create unique index payment_series on payment (series_id, position) where position is not null;
create index payment_account on payment (payee_id, account);
-- Rows arrive in the order of their acceptance, so a summary per block finds a period; a number is looked up through
-- payment_identity. Every B-tree less is a tenth of what an insert costs. A payment that changes moves to where there is room,
-- perhaps among much older ones: a summary is of several stretches, so that one such row does not make it one of all between.
create index payment_accepted on payment using brin (accepted_at timestamptz_minmax_multi_ops)
    with (pages_per_range = 16, autosummarize = on);
create index payment_in_trouble on payment (state, payee_id) where state in ('unknown', 'failed', 'stopped', 'refused', 'waiting', 'delivering', 'revoking');
-- Few have any, and those are looked for.
create index payment_flagged on payment (payee_id) where flags <> '{}';

-- A payee's delivery limits and its breaker ('mail' is the lane of the mail relay).
create table lane (
    lane_id      text primary key,
    slots        integer not null check (slots between 1 and 1000),
    breaker      text not null default 'closed' check (breaker in ('closed', 'open')),
    failures     integer not null default 0,
    opened_at    timestamptz,
    probe_at     timestamptz,
    probe_count  integer not null default 0,
    last_error   text,
    -- A question found no free slot: until then no payment takes one.
    question_waits_until timestamptz not null default '-infinity',
    paused       boolean not null default false,
    check ((breaker = 'open') = (probe_at is not null))
);

-- One call at a time per slot, whichever process makes it. Free when both moments have passed by the database's clock.
create table lane_slot (
    lane_id     text not null references lane on delete cascade,
    slot        integer not null,
    token       uuid,
    lease_until timestamptz not null default '-infinity',
    primary key (lane_id, slot)
);

-- Each call ever made to a payee about a payment, written before the call. `maybe` = it may have been credited.
create table attempt (
    attempt_id  uuid primary key,
    payment_id  uuid not null,
    ordinal     integer not null,
    act         text not null check (act in ('pay', 'status', 'cancel')),
    lane_id     text not null,
    slot        integer not null,
    worker      text not null,
    automatic   boolean not null default true,
    started_at  timestamptz not null default clock_timestamp(),
    lease_until timestamptz not null,
    ending      text not null default 'open' check (ending in ('open', 'not_sent', 'answered', 'maybe')),
    ended_at    timestamptz,
    late        boolean not null default false,
    result      text,
    error       text,
    request     text,
    response    text,
    http_status integer,
    -- By the payee's word it has credited the payment in this very call.
    credited    boolean not null default false,
    check ((ending = 'open') = (ended_at is null))
);
create index attempt_payment on attempt (payment_id, ordinal);
create index attempt_open on attempt (lease_until) where ending = 'open';
-- At most one open attempt per payment: nobody pays twice at once.
create unique index attempt_one_open on attempt (payment_id) where ending = 'open';

-- Looked after at a fiftieth instead of a fifth of the table: at fifty million rows a fifth is ten million dead ones, which every
-- look at what is due walks past, and a summary of what is where that is days old.
alter table payment set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02);
alter table attempt set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02);
