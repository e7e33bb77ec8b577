-- Numbers dealt before acceptance. Some payees are told the number of a payment at its check and have to find the same one
-- at the payment: it is dealt when the id is first seen, and the payment takes it over. Most checks are never followed by a
-- payment; their numbers are gaps, which are allowed.
--
-- Kept for as long as the payment may come: that is refused when it was paid longer ago than the replay window (400 days), and
-- nobody pays more than a month after his last check. Intake deletes what is older (payments::forget_dealt). Then an id that is checked
-- again gets another number, and none gets this one: numbers are from a sequence.
create table dealt_number (
    payment_id uuid primary key,
    number     bigint not null unique,
    -- Anew at a check a day later or more.
    dealt_at   timestamptz not null default clock_timestamp()
);
create index on dealt_number (dealt_at);
