-- Prepaid cards: sealed at rest, held, sold at most once.

-- The vault's public half: age recipients, and the key of the blind index wrapped for them. The identity is never here.
create table vault (
    version           integer primary key,
    recipients        text[] not null check (cardinality(recipients) > 0),
    wrapped_index_key bytea not null,
    created_at        timestamptz not null default clock_timestamp()
);

-- A card file on its way in, sealed to the vault by whoever handed it in; the bytes go once it is done.
create table card_import (
    import_id    uuid primary key,
    product_id   text not null references product,
    file_name    text not null,
    -- Keyed with the vault's index key, so it tells nothing of a short file; set once the file was opened.
    file_hash    bytea check (octet_length(file_hash) = 32),
    sealed_file  bytea,
    state        text not null default 'waiting' check (state in ('waiting', 'working', 'done', 'refused')),
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    lease_token  uuid,
    lease_until  timestamptz,
    finished_at  timestamptz,
    added        bigint not null default 0,
    duplicates   bigint not null default 0,
    report       jsonb,
    check ((state in ('done', 'refused')) = (finished_at is not null)),
    check ((sealed_file is null) = (state in ('done', 'refused')))
);

-- The same file does not come in twice.
create unique index card_import_once on card_import (file_hash) where state = 'done';
create index card_import_open on card_import (requested_at) where state in ('waiting', 'working');

-- What is kept per product: the last position dealt, and whether `stock.low` was told since the stock was last above.
create table product_stock (
    product_id text primary key references product,
    last_pos   bigint not null default 0,
    low        boolean not null default false
);

-- One key per imported file, wrapped for the vault: rotation re-wraps these, not the cards.
create table card_batch (
    batch_id      bigint generated always as identity primary key,
    product_id    text not null references product,
    import_id     uuid not null references card_import,
    vault_version integer not null references vault,
    wrapped_key   bytea not null,
    created_at    timestamptz not null default clock_timestamp()
);

-- Card life (domain::card::CardState):
--   available -> reserved -> sold; reserved -> lapsed (hold over, in grace) -> available; reserved -> available (released)
--   available, lapsed -> sold (late); any unsold -> faulty | withdrawn -> sold (paid beats everything)
--
-- No foreign keys to product and batch: a card is entered by the transaction that made its batch, which names the product
-- and is never deleted without it (V9), and the keys would be looked up for each card of a file, which costs as much as its row does.
create table card (
    card_id        bigint generated always as identity primary key,
    product_id     text not null,
    -- The order of selling within the product; a watermark walks it.
    pos            bigint not null,
    batch_id       bigint not null,
    serial         text not null,
    sealed         bytea,
    expires_on     date,
    state          text not null default 'available'
                       check (state in ('available', 'reserved', 'lapsed', 'sold', 'faulty', 'withdrawn')),
    pool           text not null default 'fresh' check (pool in ('fresh', 'returned')),
    exposed        boolean not null default false,
    -- When it last came back unsold. Whether it may be offered again by now is asked of its product (reissue_exposed) as
    -- declared at the time: nothing has to be written anew when that changes.
    came_back_at   timestamptz not null default '-infinity',
    reservation_id uuid,
    updated_at     timestamptz not null default clock_timestamp(),
    check (state not in ('reserved', 'lapsed', 'sold') or reservation_id is not null),
    check (state <> 'available' or reservation_id is null)
) with (fillfactor = 90);

-- What a card is recognised by, apart from its life: a card changes its state several times, and each time every index of
-- its row gets a new entry. These two, of which one leads to a random place, are written once.
create table card_identity (
    blind_index    bytea primary key check (octet_length(blind_index) = 32),
    product_id     text not null,
    serial         text not null,
    -- Of card, entered in the same transaction.
    card_id        bigint not null,
    unique (product_id, serial)
);

create index card_fresh on card (product_id, pos) where state = 'available' and pool = 'fresh';
create index card_returned on card (product_id, came_back_at, pos) where state = 'available' and pool = 'returned';
-- No more of the states: each entry is written with the card's step into it, and those of a sale are counted otherwise.
create index card_set_aside on card (product_id, state) where state in ('faulty', 'withdrawn');
-- Sold cards whose secrets are still there, by when they were sold.
create index card_to_shred on card (product_id, updated_at) where state = 'sold' and sealed is not null;

-- States (domain::card::ReservationState): held -> lapsed -> expired; held -> released; any of them -> sold (late);
-- held, lapsed -> superseded; any -> conflict (paid, but the card was sold to another). `released` without a card is
-- a release that came before its reservation.
create table reservation (
    reservation_id uuid primary key,
    product_id     text,
    terminal_id    text not null,
    fingerprint    bytea,
    -- Of card. No foreign key: it is always a row that the same transaction has locked, no card that was ever reserved is deleted (V9), and the
    -- key would be looked up and locked once more for each hold, which costs as much as all the rest of it.
    card_id        bigint,
    state          text not null check (state in ('held', 'lapsed', 'expired', 'released', 'sold', 'superseded', 'conflict')),
    hold_seconds   integer,
    created_at     timestamptz not null default clock_timestamp(),
    held_until     timestamptz,
    grace_until    timestamptz,
    price          bigint,
    face_value     bigint,
    currency       text,
    ended_at       timestamptz,
    ended_by       text,
    -- The sale, as the terminal told it.
    sale_fingerprint bytea,
    paid_at        timestamptz,
    amount         bigint check (amount > 0),
    receipt_number text,
    late           boolean,
    surplus        bigint,
    traceparent    text,
    check (state = 'released' or card_id is not null),
    check (state not in ('held', 'lapsed') or (held_until is not null and grace_until is not null)),
    check ((state in ('sold', 'conflict')) = (sale_fingerprint is not null)),
    check ((state in ('held', 'lapsed')) = (ended_at is null))
);
-- A card is held by one reservation at a time and sold to at most one.
create unique index reservation_live on reservation (card_id) where state in ('held', 'lapsed');
create unique index reservation_sold on reservation (card_id) where state = 'sold';
create index reservation_held on reservation (held_until) where state = 'held';
create index reservation_lapsed on reservation (grace_until) where state = 'lapsed';
create index reservation_sales on reservation (ended_at, product_id) where state = 'sold';

-- What an operator has to settle after a sale: conflict, sold while faulty or withdrawn.
create table card_case (
    case_id        uuid primary key,
    kind           text not null check (kind in ('conflict', 'faulty', 'withdrawn', 'surplus')),
    reservation_id uuid not null references reservation,
    card_id        bigint not null references card,
    replacement_reservation_id uuid,
    opened_at      timestamptz not null default clock_timestamp(),
    resolved_at    timestamptz,
    resolved_by    text,
    note           text,
    unique (kind, reservation_id)
);

-- As payments are (V2).
alter table card set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02);
alter table reservation set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02);
