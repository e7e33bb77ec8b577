-- Card files of any size and kind: handed in as chunks, with options, progress and a cancel; and what a file says of a card
-- besides its secrets.

-- Fields that are no secret (in the order of the file, hence not jsonb), and what this card is worth and costs where that is
-- not what the product says. In minor units of the product's currency.
alter table card
    add column public_fields json,
    add column face_value    bigint check (face_value > 0),
    add column price         bigint check (price > 0);

-- States of an import:
--   waiting -> working (a lease; taken over when it runs out) -> done | refused; waiting, working -> cancelled;
--   done -> taken_back (V9)
alter table card_import
    drop constraint card_import_state_check,
    drop constraint card_import_check,
    drop constraint card_import_check1,
    drop column sealed_file,
    -- Of the sealed file, and of its chunks, which are gone once it has ended.
    add column bytes      bigint,
    -- What the operator asked for: take the good rows of a file that has others; refuse duplicates and expired ones like
    -- malformed rows; take a file that was entered before.
    add column good_rows  boolean not null default false,
    add column strict     boolean not null default false,
    add column again      boolean not null default false,
    -- Rows looked at, of how many; the total is known once the file was read through.
    add column rows_done  bigint not null default 0,
    add column rows_total bigint,
    add column malformed  bigint not null default 0,
    add column expired    bigint not null default 0,
    add column ended_by   text,
    -- How often it was taken up and not given back: a file that kills its worker would kill them all, one after the other.
    add column attempts   integer not null default 0,
    add check (state in ('waiting', 'working', 'done', 'refused', 'cancelled', 'taken_back')),
    add check ((state in ('done', 'refused', 'cancelled', 'taken_back')) = (finished_at is not null)),
    add check ((state = 'working') = (lease_token is not null)),
    add check (not (good_rows and strict));

-- The sealed file. Each row is a part of one age file, in order.
create table card_import_chunk (
    import_id uuid not null references card_import,
    n         integer not null,
    data      bytea not null,
    primary key (import_id, n)
);

-- The same file does not come in twice, unless somebody asked for it.
drop index card_import_once;
create unique index card_import_once on card_import (file_hash) where state = 'done' and not again;
create index card_import_known on card_import (file_hash) where state = 'done';

-- Tells the planner of many new cards, for a worker that owns no table: PostgreSQL skips ANALYZE for whoever does not.
create function analyze_cards() returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    analyze card, card_identity;
end $$;
revoke execute on function analyze_cards() from public;
