-- Stock that is watched: cards that run out of date, counts that stay cheap at millions of cards, and alerts for people.

-- Taken out of stock by the upkeep sweep because its last day is near or past; a card `withdrawn` otherwise is an
-- operator's act. It stays set on one that was paid for all the same.
alter table card
    add column out_of_date boolean not null default false,
    add constraint card_out_of_date check (not out_of_date or state not in ('available', 'reserved', 'lapsed'));

-- Cards with a last day in the order in which they run out: for products that sell those first, for the sweep that
-- withdraws them, and for counting what it has not come to yet. Cards without one cost it nothing.
create index card_expiring on card (product_id, pool, expires_on, pos) where state = 'available' and expires_on is not null;
-- Tells those withdrawn by the sweep from those withdrawn by an operator, without reading the cards.
create index card_out_of_date on card (product_id) where state = 'withdrawn' and out_of_date;
-- Cards that were shown and came back, by when: the issuer's reconciliation.
create index reservation_unsold on reservation (ended_at) where state in ('released', 'expired') and card_id is not null;

-- How many cards of a product were sold before a moment that no open transaction can reach back to. Nothing undoes a sale,
-- so only later ones are left to be counted.
alter table product_stock
    add column sold_settled  bigint not null default 0,
    add column settled_until timestamptz not null default '-infinity';

-- What people should know of soon. A notice is written in the transaction of the event it is about. While it waits to be
-- mailed, the same thing happening again raises `times` and makes no second row, so a flood leaves a row per subject.
create table notice (
    notice_id   uuid primary key,
    -- The routing key of the event: `stock.low`.
    kind        text not null,
    -- Which product, payee or register.
    subject     text not null,
    title       text not null,
    lines       text[] not null default '{}',
    -- Told besides those whom the mailer's own setting names.
    mail_to     text[] not null default '{}',
    times       integer not null default 1 check (times > 0),
    first_at    timestamptz not null default clock_timestamp(),
    last_at     timestamptz not null default clock_timestamp(),
    -- When it was put into mails; until then it waits: for a recipient, a relay, or the pause between two mails.
    gathered_at timestamptz,
    check (last_at >= first_at)
);
create unique index notice_waiting on notice (kind, subject) where gathered_at is null;
create index notice_latest on notice (last_at);
-- Whether people were told of it lately.
create index notice_told on notice (kind, subject, last_at);

-- What people were told that it waits for one of them: parked facts of a reason, unsettled payments of a payee, cases of a kind; and
-- how many of it, those that somebody has seen to since not among them. It is told again when there are more, and not before some time is over.
create table notice_open (
    kind    text not null,
    subject text not null,
    told    bigint not null check (told >= 0),
    told_at timestamptz not null default clock_timestamp(),
    primary key (kind, subject)
);

-- One mail of notices to one recipient, frozen when it was put together: every try sends the same bytes.
create table notice_mail (
    mail_id     uuid primary key,
    recipient   text not null,
    message_id  text not null unique,
    subject     text not null,
    body        text not null,
    notices     uuid[] not null check (cardinality(notices) > 0),
    state       text not null default 'waiting' check (state in ('waiting', 'sending', 'sent', 'failed')),
    created_at  timestamptz not null default clock_timestamp(),
    due_at      timestamptz default clock_timestamp(),
    lease_token uuid,
    lease_until timestamptz,
    attempts    integer not null default 0,
    give_up_at  timestamptz not null default clock_timestamp() + interval '4 days',
    last_error  text,
    sent_at     timestamptz,
    check ((state = 'sending') = (lease_until is not null)),
    check ((state = 'sent') = (sent_at is not null)),
    check ((state = 'waiting') = (due_at is not null))
);
create index notice_mail_due on notice_mail (due_at) where state = 'waiting';
create index notice_mail_leased on notice_mail (lease_until) where state = 'sending';
-- A recipient has them in their order.
create index notice_mail_in_order on notice_mail (recipient, created_at, mail_id) where state in ('waiting', 'sending');
create index notice_mail_of on notice_mail using gin (notices);

-- Before this moment no further mails are put together, by any mailer.
create table notice_pause (
    only_row boolean primary key default true check (only_row),
    until    timestamptz not null default '-infinity'
);
insert into notice_pause default values;
