-- Several series per payee, registers without payments, and a watch over positions that stay open.

-- A register without payments has the range of none: the position after the last register's to the one before that. What it
-- calls its first and last acceptance is the stretch between two cut-offs that it is about.
alter table register
    drop constraint register_payment_count_check,
    drop constraint register_total_check,
    drop constraint register_check1,
    drop constraint register_series_id_int8range_excl,
    add constraint register_payment_count_check check (payment_count >= 0 and (payment_count > 0 or kind = 'regular')),
    add constraint register_total_check check (total >= 0 and (total > 0) = (payment_count > 0)),
    add constraint register_range_check check (lo <= hi or (lo = hi + 1 and payment_count = 0 and revoked_count = 0)),
    add constraint register_series_id_range_excl
        exclude using gist (series_id with =, int8range(lo, hi + 1) with &&) where (kind = 'regular');

-- Of a declaration, what says who a payee is and when its registers are closed. A secret may stand in any other part of one, so
-- only what is named here is taken, of each series too; a new key is none of it until somebody has looked at it.
create function card_of_payee(declaration jsonb) returns jsonb language sql immutable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'id', d -> 'id', 'name', d -> 'name', 'gateway', d -> 'gateway', 'currency', d -> 'currency',
        'account', d -> 'account', 'amount', d -> 'amount', 'suspended', d -> 'suspended', 'retired', d -> 'retired',
        'register', (
            select jsonb_object_agg(key, case key when 'series' then (
                       select jsonb_agg((select jsonb_object_agg(own.key, own.value) from jsonb_each(series) own
                                         where own.key in ('name', 'when') or own.key = any (closing)))
                       from jsonb_array_elements(value) series) else value end)
            from jsonb_each(d -> 'register') where key in ('time_zone', 'series') or key = any (closing))))
    from (select $1 as d, array['schedule', 'every_payments', 'every_seconds', 'every_hours', 'send_empty', 'calendar',
                                'on_day_off'] as closing) named
$$;
create view payee_card as
select payee_id, version, gateway, suspended, retired, updated_at, declaration ? 'register' as has_register,
       card_of_payee(declaration) as declaration,
       case when declaration ? 'register' then declaration -> 'register' ->> 'time_zone'
            else declaration -> gateway ->> 'time_zone' end as time_zone
from payee;
create view payee_version_card as
select payee_id, version, applied_at, coalesce((declaration ->> 'suspended')::boolean, false) as suspended,
       card_of_payee(declaration) as declaration
from payee_version;

-- Since when an open position of the series is later than it may be, and told so; null = none is.
alter table series add column late_since timestamptz;
