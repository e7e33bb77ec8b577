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

-- Since when an open position of the series is later than it may be, and told so; null = none is.
alter table series add column late_since timestamptz;
