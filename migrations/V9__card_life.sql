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
