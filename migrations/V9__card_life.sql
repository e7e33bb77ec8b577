-- The schema says all that the model of a card's life says (shared/domain/tests/card_life): rows that none of its states
-- has are refused here. The list of those it has, `reached.txt`, is held against a database by the test
-- `the_schema_takes_what_the_model_reaches_and_refuses_the_rest`.

-- A card's secret is seen once it is somebody's, and stays seen; what was seen never lies in the fresh pool again.
alter table card
    add constraint card_owner_has_seen_it check (reservation_id is null or exposed),
    add constraint card_pool_by_exposure check (state <> 'available' or exposed = (pool = 'returned'));

alter table reservation
    -- How it ended says its state, and the other way round.
    add constraint reservation_ended_by check (
        case state
            when 'expired' then ended_by is not distinct from 'grace'
            when 'released' then ended_by is not distinct from 'release'
            when 'superseded' then ended_by is not distinct from 'superseded'
            when 'conflict' then ended_by is not distinct from 'sale'
            when 'sold' then coalesce(ended_by, '') in ('sale', 'replacement')
            else ended_by is null
        end),
    -- A card was given out on terms, all of them; a release that came first has neither.
    add constraint reservation_terms check (
        num_nulls(card_id, product_id, fingerprint, held_until, grace_until, price, face_value, currency) in (0, 8)),
    add constraint reservation_grace_after_hold check (grace_until >= held_until),
    -- A sale is told whole.
    add constraint reservation_sale_is_whole check (
        case
            when sale_fingerprint is null then num_nonnulls(paid_at, amount, receipt_number, late, surplus) = 0
            when ended_by = 'sale' then num_nulls(paid_at, amount, late, surplus) = 0
            else late is not null
        end);

-- One index in place of two: a card that is sold is held by nobody. Whoever supersedes a hold writes that first.
create unique index reservation_of_card on reservation (card_id) where state in ('held', 'lapsed', 'sold');
drop index reservation_live;
drop index reservation_sold;

-- Rows move as the transition tables say (CardState::may_become, ReservationState::may_become): nothing undoes a sale, what was
-- withdrawn (and may have gone back to its issuer) or does not work is never in stock again, and what was shredded stays so.
-- Held against those tables by the test `the_schema_lets_rows_move_as_the_model_does_and_refuses_the_rest`. After the row,
-- not before it: then a row that may move is neither locked once more nor is anything called for it.
create function life_is_over() returns trigger language plpgsql as $$
begin
    raise exception '% violates its life: %', tg_table_name,
        case when old.state = new.state then 'what was shredded stays so'
             else format('%s does not become %s', old.state, new.state) end
        using errcode = 'check_violation', constraint = tg_name, table = tg_table_name;
end $$;
create trigger card_moves after update of state, sealed on card for each row
    when (old.state <> new.state and
              case old.state
                  when 'available' then new.state = 'lapsed'
                  when 'reserved' then false
                  when 'lapsed' then new.state = 'reserved'
                  when 'sold' then true
                  else new.state <> 'sold'
              end
          or old.sealed is null and new.sealed is not null and old.state = 'sold')
    execute function life_is_over();
create trigger reservation_moves after update of state on reservation for each row
    when (old.state <> new.state and
              case old.state
                  when 'held' then new.state not in ('sold', 'lapsed', 'released', 'superseded')
                  when 'lapsed' then new.state not in ('sold', 'expired', 'superseded')
                  when 'expired' then new.state not in ('sold', 'conflict')
                  when 'released' then new.state not in ('sold', 'conflict')
                  when 'superseded' then new.state <> 'conflict'
                  else true
              end)
    execute function life_is_over();

-- A file that was entered by mistake goes out as a whole, with what its cards are recognised by, so that they can come in where
-- they belong. Only while all of them are as they came: what was ever reserved is exposed, and only that is known to other tables;
-- but a card may have been shown to an operator. One that ran out of date on the shelf is as it came, unless it was reported since:
-- a wrong last day is a reason to take its file back. The owner's function, since nobody has the right to delete a card otherwise.
-- Counted before anything is locked, and again by what is deleted: whoever was quicker to take a card keeps all of them in, for
-- which the caller rolls back.
create function take_back_import(which uuid, who text, out gone bigint, out against bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    entered bigint;
    held    record;
begin
    select i.added into strict entered from card_import i where i.import_id = which and i.state = 'done' for no key update;
    -- Its cards lie in this range, and are found by it (V6).
    select b.batch_id, coalesce(b.shredded_to, 0) as first, coalesce(b.last_card, 9223372036854775807) as last
        into strict held from card_batch b where b.import_id = which;
    select count(*) into gone from card c
        where c.card_id > held.first and c.card_id <= held.last and c.batch_id = held.batch_id
          and (c.state = 'available' or c.state = 'withdrawn' and c.out_of_date) and not c.exposed
          and not exists (select from disclosure_card d where d.card_id = c.card_id)
          and not exists (select from card_fault f where f.card_id = c.card_id);
    if gone = entered then
        with deleted as (
            delete from card c
            where c.card_id > held.first and c.card_id <= held.last and c.batch_id = held.batch_id
              and (c.state = 'available' or c.state = 'withdrawn' and c.out_of_date) and not c.exposed
              and not exists (select from disclosure_card d where d.card_id = c.card_id)
              and not exists (select from card_fault f where f.card_id = c.card_id)
            returning c.card_id, c.product_id, c.serial
        ), forgotten as (
            delete from card_identity i using deleted d
            where i.product_id = d.product_id and i.serial = d.serial and i.card_id = d.card_id
            returning i.card_id
        )
        select count(*) into gone from forgotten;
    end if;
    against := entered - gone;
    if against = 0 then
        delete from card_batch where batch_id = held.batch_id;
        update card_import set state = 'taken_back', ended_by = who where import_id = which;
    end if;
end $$;
revoke execute on function take_back_import(uuid, text) from public;
-- Looked at for each card that is deleted.
create index card_case_of on card_case (card_id);
create index disclosure_card_of on disclosure_card (card_id);
