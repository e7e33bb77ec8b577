-- When a payee may be called besides how often at a time: its rate, its quiet hours, and how it is let out of an outage.
-- All of it is judged by this database's clock, in the row that every claim locks anyway.

-- One call is tried when a payee seems to be back, before all that waits goes out again.
alter table lane drop constraint lane_breaker_check;
alter table lane
    add constraint lane_breaker_check check (breaker in ('closed', 'open', 'trial')),
    -- Calls about payments that failed in a row: questions that are answered in between say nothing about being paid.
    add column unpaid integer not null default 0,
    -- Payments in a row that the payee answered and took for no request of ours (a wrong secret, a clock that is off), as far as they
    -- are counted: it is there, so that no breaker opens, and gets nothing all the same.
    add column rejected integer not null default 0,
    -- Calls in a row that a process could not make (a secret that is not there, a certificate that is none), as far as they are
    -- counted: nothing is known of the payee, so that no breaker opens, and it gets nothing all the same.
    add column hindered integer not null default 0,
    -- By which process last, and when: calls that another one makes say nothing of what keeps this one.
    add column hindered_by uuid,
    add column hindered_at timestamptz,
    -- The least seconds from the beginning of one call to that of the next; null = no limit.
    add column call_interval double precision check (call_interval > 0),
    add column next_call_at  timestamptz not null default '-infinity',
    -- Nothing is sent before. Written by whoever finds, at a claim, that these are the payee's quiet hours.
    add column quiet_until   timestamptz not null default '-infinity',
    -- The payee is busy and has asked not to be called before (Retry-After).
    add column wait_until    timestamptz not null default '-infinity',
    -- The payee is back: payments that wait for a retry are made due as they are claimed, oldest first. Those with a number
    -- up to this one have been; null when none are left. While it is down, the payment that was tried last.
    add column recovered_to  bigint;

-- Payments that wait for a retry, oldest first. One that is delivered at the first attempt never enters it.
create index if not exists payment_retry on payment (payee_id, number) where state = 'waiting' and next_act = 'pay';
