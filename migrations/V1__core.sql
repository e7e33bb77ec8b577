-- Who we serve and what everybody shares: declarations, the audit log, the events waiting to be published, parked facts.
-- Overlap of registers is forbidden by an exclusion constraint over (series, range), which needs equality in GiST.
create extension if not exists btree_gist;

-- Raised by every `apply`; workers compare it with the one they have read and reload when it moved.
create table declaration_generation (
    only_row   boolean primary key default true check (only_row),
    generation bigint not null default 0
);
insert into declaration_generation default values;

-- Which installation this database is, so that a directory or bucket in which another one keeps its files is told from ours.
-- The row is made when somebody first asks: copies of an empty database are installations of their own. A copy of one that
-- has worked is the same one; if it is to work beside it, its row has to go.
create table installation (
    only_row        boolean primary key default true check (only_row),
    installation_id uuid not null default gen_random_uuid(),
    made_at         timestamptz not null default clock_timestamp()
);

-- A batch decides by the declarations it has in memory and has this said in the same flight as its first statement: one
-- that began after an `apply` has committed is sent back to read them again (UG001, StoreError::Outdated). The lock costs nobody
-- anything but while somebody waits for all batches at work. It is one of a table, which never has a row, so that it takes a
-- right to take it: under a number anybody who may log in could stop all batches.
create table batch_gate ();
create function declarations_are(expected bigint) returns void language plpgsql as $$
begin
    lock table batch_gate in row exclusive mode;
    if (select generation from declaration_generation) <> expected then
        raise exception 'declarations have changed' using errcode = 'UG001';
    end if;
end $$;
-- Behind who waits for it new batches queue: one that hangs must not hold them up for long (UG002, StoreError::BatchesAtWork).
create function batches_wait() returns void language plpgsql set lock_timeout = '2s' as $$
begin
    lock table batch_gate in share mode;
exception when lock_not_available then
    raise exception 'batches at work have not ended within 2 seconds: try again' using errcode = 'UG002';
end $$;

-- A payee as declared now. Old versions stay: a register is always rendered with the version it was closed under.
create table payee (
    payee_id    text primary key check (payee_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    version     integer not null check (version > 0),
    gateway     text not null check (gateway in ('registers', 'unikassa', 'databases')),
    suspended   boolean not null default false,
    retired     boolean not null default false,
    declaration jsonb not null,
    updated_at  timestamptz not null default clock_timestamp()
);

create table payee_version (
    payee_id    text not null references payee,
    version     integer not null check (version > 0),
    declaration jsonb not null,
    applied_by  text not null,
    applied_at  timestamptz not null default clock_timestamp(),
    primary key (payee_id, version)
);

create table product (
    product_id  text primary key check (product_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    version     integer not null check (version > 0),
    declaration jsonb not null,
    updated_at  timestamptz not null default clock_timestamp()
);

create table terminal (
    terminal_id text primary key check (terminal_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    version     integer not null check (version > 0),
    declaration jsonb not null,
    updated_at  timestamptz not null default clock_timestamp()
);

-- Everything an operator does, allowed or denied. Rows are only ever added.
create table audit (
    audit_id     bigint generated always as identity primary key,
    at           timestamptz not null default clock_timestamp(),
    -- As the operator calls himself, and as he, or his worker, is known to the database.
    who          text not null,
    login        text not null default session_user,
    act          text not null,
    subject_kind text not null,
    subject      text not null,
    reason       text,
    allowed      boolean not null default true,
    before       jsonb,
    after        jsonb
);
create index audit_subject on audit (subject_kind, subject);

-- Written in the transaction of what happened, deleted once the broker has confirmed it.
create table event (
    sequence    bigint generated always as identity,
    event_id    uuid not null unique,
    kind        text not null,
    occurred_at timestamptz not null default clock_timestamp(),
    body        text not null,
    traceparent text,
    -- Later than it happened when a listener's queue did not take it.
    due_at      timestamptz not null default clock_timestamp(),
    primary key (due_at, sequence)
);
-- An event lives for a moment, and says much the same many times: lz4 costs less than writing it out.
alter table event alter column body set compression lz4;

-- A fact without a home: whole, with its reason. `content_hash` is the fingerprint of a readable message, the hash of
-- the bytes of an unreadable one. States (domain::parked::ParkedState):
--   parked -> retry (put back, or dead-lettered and to be tried once more alone) -> resolved | parked
--   parked -> discarded
create table parked (
    parked_id      uuid primary key,
    parked_at      timestamptz not null default clock_timestamp(),
    routing_key    text not null,
    payment_id     uuid,
    reservation_id uuid,
    content_hash   bytea not null check (octet_length(content_hash) = 32),
    reason         text not null,
    detail         text not null default '',
    body           bytea not null,
    properties     jsonb not null,
    corrected_body bytea,
    vouched        boolean not null default false,
    state          text not null default 'parked' check (state in ('parked', 'retry', 'resolved', 'discarded')),
    resolved_at    timestamptz,
    resolved_by    text,
    resolution     jsonb,
    -- When a worker last judged it: its reason is of then.
    refused_at     timestamptz not null default clock_timestamp(),
    check ((state in ('resolved', 'discarded')) = (resolved_at is not null))
);
create unique index parked_once on parked
    (routing_key, coalesce(payment_id, reservation_id, '00000000-0000-0000-0000-000000000000'::uuid), content_hash);
create index parked_waiting on parked (routing_key, parked_at) where state in ('parked', 'retry');
-- Swept every few seconds, however many wait for an operator.
create index parked_retry on parked (parked_at) where state = 'retry';

-- Reservations whose sale an operator settled by hand before it counted: neither held nor sold any more. (Payments
-- have `settled` among the dispositions of payment_identity.)
create table settled_reservation (
    reservation_id uuid primary key,
    settled_at     timestamptz not null default clock_timestamp()
);

-- What an operator settled of facts that their senders had no right to: refused in just these words, and the id is left to its
-- owner. Each raises the generation: workers have them in memory.
create table settled_content (
    subject      uuid not null,
    content_hash bytea not null check (octet_length(content_hash) = 32),
    settled_at   timestamptz not null default clock_timestamp(),
    primary key (subject, content_hash)
);
