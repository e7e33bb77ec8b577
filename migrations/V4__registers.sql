-- Registers: ranges of positions of one series, built into files, mailed.

-- States (domain::register::RegisterState): frozen -> built -> mailed; a failed mail leaves it `failed` until re-sent.
create table register (
    register_id     uuid primary key,
    series_id       bigint not null references series,
    payee_id        text not null references payee,
    payee_version   integer not null,
    kind            text not null check (kind in ('regular', 'copy')),
    sequence        integer not null check (sequence > 0),
    -- Regular: the closed range of positions, which is the register's alone. Copy: the range its period covers. Positions
    -- rise with the time of acceptance, so a period is a range too, and both are built the same way.
    lo              bigint not null,
    hi              bigint not null,
    period_from     timestamptz,
    period_to       timestamptz,
    cutoff          timestamptz not null,
    closed_at       timestamptz not null default clock_timestamp(),
    first_accepted_at timestamptz not null,
    last_accepted_at  timestamptz not null,
    payment_count   bigint not null check (payment_count > 0),
    revoked_count   bigint not null default 0,
    total           bigint not null check (total > 0),
    currency        text not null,
    state           text not null default 'frozen' check (state in ('frozen', 'built', 'mailed', 'failed')),
    requested_by    text not null default 'schedule',
    -- Whom it is for, as it stands: an operator may put one in the place of another, or give one up, once it is built.
    mail_to         text[] not null default '{}',
    lease_token     uuid,
    lease_until     timestamptz,
    due_at          timestamptz default clock_timestamp(),
    attempts        integer not null default 0,
    -- How often in a row whoever was building it was gone without a word (claim_builds).
    vanished        integer not null default 0,
    last_error      text,
    file_name       text,
    sha256          bytea,
    bytes           bigint,
    built_at        timestamptz,
    mailed_at       timestamptz,
    check ((kind = 'copy') = (period_from is not null and period_to is not null)),
    check (lo <= hi),
    check ((state = 'frozen') = (sha256 is null) or state = 'failed'),
    exclude using gist (series_id with =, int8range(lo, hi, '[]') with &&) where (kind = 'regular')
);
-- Copies are counted apart: asking for one never leaves a gap in the sequence the payee follows.
create unique index register_sequence on register (series_id, kind, sequence);
create index register_due on register (due_at) where state = 'frozen' and due_at is not null;
create index register_range on register (series_id, hi) where kind = 'regular';

-- A built file. While it is being written it belongs to a build (its id is the lease's token) and has no name; whole, it
-- is named by what it holds. Identical bytes are stored once. What a lost build left behind is swept away.
create table artifact (
    artifact_id uuid primary key,
    sha256      bytea unique check (octet_length(sha256) = 32),
    bytes       bigint,
    created_at  timestamptz not null default clock_timestamp(),
    check ((sha256 is null) = (bytes is null))
);
create index artifact_unfinished on artifact (created_at) where sha256 is null;
create table artifact_chunk (
    artifact_id uuid not null references artifact on delete cascade,
    n           integer not null,
    data        bytea not null check (octet_length(data) between 1 and 1048576),
    primary key (artifact_id, n)
);
-- Compressed or encrypted already: the server need not try again.
alter table artifact_chunk alter column data set storage external;
alter table register add foreign key (sha256) references artifact (sha256);

-- When the series is due next, worked out under one version of its payee: a sweep over thousands of series is one query.
alter table series
    add column planned_version integer,
    add column next_cutoff     timestamptz,
    add column every_payments  bigint;

-- One register to one recipient: the same Message-ID and bytes for all of them and on every retry.
create table mailing (
    mailing_id  uuid primary key,
    register_id uuid not null references register,
    recipient   text not null,
    message_id  text not null,
    state       text not null default 'waiting' check (state in ('waiting', 'sending', 'sent', 'failed')),
    due_at      timestamptz default clock_timestamp(),
    lease_token uuid,
    lease_until timestamptz,
    attempts    integer not null default 0,
    created_at  timestamptz not null default clock_timestamp(),
    give_up_at  timestamptz not null default clock_timestamp() + interval '4 days',
    last_error  text,
    sent_at     timestamptz,
    unique (register_id, recipient),
    check ((state = 'sending') = (lease_until is not null)),
    check ((state = 'sent') = (sent_at is not null)),
    check ((state = 'waiting') = (due_at is not null))
);
create index mailing_due on mailing (due_at) where state = 'waiting';
create index mailing_leased on mailing (lease_until) where state = 'sending';

-- What every reader calls a payment's state. A register payee's payment is `registered` once its position is in a
-- closed range and `reported` once that register was mailed; while the payee is suspended, what is open is `stopped`.
create view payment_view as
select p.*,
       r.register_id,
       r.sequence as register_sequence,
       case
           when p.gateway = 'registers' and p.state = 'accepted' and r.register_id is not null
               then case when r.mailed_at is not null then 'reported' else 'registered' end
           when p.state in ('accepted', 'waiting') and y.suspended then 'stopped'
           else p.state
       end as shown_state,
       greatest(p.updated_at, r.closed_at, r.mailed_at) as shown_updated_at
from payment p
join payee y using (payee_id)
left join lateral (
    select register_id, sequence, closed_at, mailed_at from register r
    where r.kind = 'regular' and r.series_id = p.series_id and r.hi >= p.position and r.lo <= p.position
    order by r.hi limit 1
) r on p.position is not null;
