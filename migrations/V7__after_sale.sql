-- What follows a sale: cards that turn out faulty, replacements, cases and how they were resolved; and the limits that
-- keep one terminal from taking more than its share.

-- What was said of a group of terminals; a terminal names its group. For each terminal of it, unless that says otherwise.
create table terminal_group (
    group_id    text primary key,
    version     integer not null,
    declaration jsonb not null,
    updated_at  timestamptz not null default clock_timestamp()
);

-- One row per terminal that has a limit. Whoever reserves for it locks the row and then counts, so two workers never both
-- give the last hold. Nothing is counted up here: what is there is counted, by the three indexes below.
create table terminal_gate (
    terminal_id text primary key
);
create index reservation_held_by on reservation (terminal_id, held_until) where state = 'held';
create index reservation_sold_by on reservation (terminal_id, ended_at) where state = 'sold';
create index reservation_unsold_by on reservation (terminal_id, created_at)
    where state in ('lapsed', 'released', 'expired', 'superseded') and card_id is not null;

-- Given in place of another card whose sale stands: no money came in for this one.
alter table reservation add column gratis boolean not null default false;
alter table reservation add constraint reservation_gratis
    check (not gratis or (state = 'sold' and ended_by = 'replacement'));

-- Cards that do not work, whether or not they were sold by then: what the issuer is shown. A card is faulty once.
create table card_fault (
    card_id     bigint primary key references card,
    reported_at timestamptz not null default clock_timestamp(),
    reported_by text not null,
    reason      text not null
);
create index card_fault_by_time on card_fault (reported_at);

-- How a case was resolved (domain::card::Resolution): open -> replaced | refunded | dismissed, once.
--   replaced: the payer has another card, sold under `replacement_reservation_id`; not for a surplus
--   refunded: money went back, and how
--   dismissed: nothing is owed, and why
alter table card_case
    add column opened_by        text,
    add column resolution       text check (resolution in ('replaced', 'refunded', 'dismissed')),
    add column refund_amount    bigint check (refund_amount > 0),
    add column refund_method    text,
    add column refund_reference text,
    add constraint case_resolved_by_somebody
        check ((resolution is null) = (resolved_at is null) and (resolution is null) = (resolved_by is null)),
    add constraint case_replaced_by_a_card
        check (resolution is distinct from 'replaced' or replacement_reservation_id is not null),
    add constraint case_surplus_is_money check (kind <> 'surplus' or replacement_reservation_id is null),
    add constraint case_refund_is_noted
        check ((resolution is not distinct from 'refunded') = (refund_amount is not null)
           and (resolution is not distinct from 'refunded') = (refund_method is not null)
           and (refund_reference is null or resolution = 'refunded')),
    add constraint case_dismissed_with_a_reason check (resolution is distinct from 'dismissed' or note is not null);
create index card_case_by_reservation on card_case (reservation_id);
create index card_case_open on card_case (opened_at) where resolution is null;
-- A card is given in place of one other.
create unique index card_case_replacement on card_case (replacement_reservation_id);
