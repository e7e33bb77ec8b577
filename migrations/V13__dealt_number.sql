-- Numbers dealt before acceptance. Some payees are told the number of a payment at its check and have to find the same one
-- at the payment: it is dealt when the id is first seen, and the payment takes it over. Most checks are never followed by a
-- payment; their numbers are gaps, which are allowed.
create table dealt_number (
    payment_id uuid primary key,
    number     bigint not null unique,
    dealt_at   timestamptz not null default clock_timestamp()
);
