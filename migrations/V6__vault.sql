-- The vault for many years: recipients that come and go, an index key that is replaced, keys that are forgotten, and looks
-- at cards that are asked for, answered sealed, and remembered.

-- A version of the vault is never changed: whoever changes something writes the next one.
alter table vault
    -- Recipients whose identity is kept elsewhere, for the day on which the workers' own is lost.
    add column escrow  text[] not null default '{}',
    -- Recipients of identities on their way out: still sealed to until the rotation is finished.
    add column leaving text[] not null default '{}',
    -- By recipient: that this version was written by who has the identity, not by who can only write to the database.
    add column proofs  jsonb  not null default '{}',
    add check (escrow <@ recipients and leaving <@ recipients and not escrow && leaving),
    -- The workers themselves are always among them.
    add check (not recipients <@ (escrow || leaving));

-- The keys of the blind index, wrapped for the vault's current recipients. The latest one is written under; the others stay,
-- since cards whose secrets were shredded are recognised by them alone.
create table vault_index_key (
    index_version integer primary key check (index_version > 0),
    vault_version integer not null references vault,
    wrapped_key   bytea not null,
    created_at    timestamptz not null default clock_timestamp(),
    -- How far the cards indexed under older keys have been indexed anew: the last card_id looked at, and when all were.
    reindexed_to  bigint not null default 0,
    reindexed_at  timestamptz
);
insert into vault_index_key (index_version, vault_version, wrapped_key, reindexed_at)
    select 1, version, wrapped_index_key, clock_timestamp() from vault order by version desc limit 1;
alter table vault drop column wrapped_index_key;

-- Under which key a card was indexed. No default: whoever enters a card has to know.
alter table card_identity add column index_version integer not null default 1;
alter table card_identity alter column index_version drop default;

-- The key of a batch is forgotten once the secrets of its every card are.
alter table card_batch
    alter column wrapped_key drop not null,
    add column forgotten_at timestamptz,
    -- Its cards lie between these two, perhaps with others among them, and none of it up to the first is sealed any more: so
    -- many cards need not be looked at again, and no index has to be kept of all that are sealed. Written when its cards are
    -- entered; null = they were entered otherwise, and nobody knows.
    add column shredded_to  bigint,
    add column last_card    bigint,
    add check ((wrapped_key is null) = (forgotten_at is not null)),
    add check ((shredded_to is null) = (last_card is null) and shredded_to <= last_card);
create index card_batch_wrapped on card_batch (vault_version) where wrapped_key is not null;

-- The processes that can open the vault, by the public halves of the identities they have: a rotation is finished when all
-- have the new one.
create table vault_holder (
    worker     text primary key,
    identities text[] not null,
    version    integer not null,
    seen_at    timestamptz not null default clock_timestamp()
);

-- A look at secrets, asked for with a reason, answered by a cards worker as a file that only the recipients can open.
--   show: one card, for an operator; return: unsold cards, withdrawn by the same transaction, for their issuer
--   waiting -> working (a lease) -> done | refused; waiting -> refused (nobody answered in time, and nobody waits any more);
--   done -> waiting (a return asked for again after its file was cleared away)
create table disclosure (
    disclosure_id uuid primary key,
    kind          text not null check (kind in ('show', 'return')),
    product_id    text not null references product,
    -- By name: age recipients, or `openpgp:` and a fingerprint; of those the keys, in their order.
    recipients    text[] not null check (cardinality(recipients) > 0),
    pgp_keys      text[] not null default '{}',
    reason        text not null check (reason <> ''),
    -- What was asked for in a return, so that asking again is seen to be that.
    asked         jsonb not null,
    requested_by  text not null,
    requested_at  timestamptz not null default clock_timestamp(),
    cards         bigint not null check (cards > 0),
    -- Of what they are worth, in minor units.
    total         bigint not null,
    currency      text not null,
    state         text not null default 'waiting' check (state in ('waiting', 'working', 'done', 'refused')),
    lease_token   uuid,
    lease_until   timestamptz,
    finished_at   timestamptz,
    refusal       text,
    bytes         bigint,
    -- Cards in the file whose details could not be opened, or were shredded.
    missing       bigint not null default 0,
    collected_at  timestamptz,
    cleared_at    timestamptz,
    -- A return: who had it made again last, and why; null: nobody did.
    again_by      text,
    again_reason  text check (again_reason <> ''),
    again_at      timestamptz,
    check (num_nulls(again_by, again_reason, again_at) in (0, 3)),
    check (kind = 'return' or again_by is null),
    check (cardinality(pgp_keys) in (0, cardinality(recipients)) and (kind = 'return' or pgp_keys = '{}')),
    check ((state = 'working') = (lease_token is not null)),
    check ((state in ('done', 'refused')) = (finished_at is not null)),
    check ((state = 'refused') = (refusal is not null)),
    check (state = 'done' or (collected_at is null and cleared_at is null))
);

-- A return goes to another issuer if need be. A card is shown to nobody but who asked: rights cannot tell the two apart,
-- and whoever may ask for returns again could have a colleague's answer sealed to a key of his own.
create function disclosure_keeps_recipient() returns trigger language plpgsql as $$
begin
    raise exception 'a card is shown to nobody but who asked: the recipient of disclosure % stays', old.disclosure_id
        using errcode = 'insufficient_privilege';
end $$;
create trigger disclosure_keeps_recipient before update on disclosure for each row
    when (old.kind = 'show' and (old.recipients, old.kind) is distinct from (new.recipients, new.kind))
    execute function disclosure_keeps_recipient();

create index disclosure_open on disclosure (requested_at) where state in ('waiting', 'working');
create index disclosure_kept on disclosure (finished_at) where state = 'done' and cleared_at is null;

-- Its cards, in the order of the file. A card goes back to its issuer once.
create table disclosure_card (
    -- Checked at the end: cards are withdrawn first, and counted by that.
    disclosure_id uuid not null references disclosure deferrable initially deferred,
    n             bigint not null,
    card_id       bigint not null references card,
    returned      boolean not null,
    primary key (disclosure_id, n)
);
create unique index disclosure_card_returned on disclosure_card (card_id) where returned;

-- Its file: ciphertext.
create table disclosure_chunk (
    disclosure_id uuid not null references disclosure,
    n             integer not null,
    data          bytea not null,
    primary key (disclosure_id, n)
);
