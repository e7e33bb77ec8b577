-- A payee's books beside ours. Its list is kept as it came, so that what followed from it can be looked up, and so that a
-- second list can confirm the first.

-- When a payment was first known to be delivered, by this server's clock. Whoever makes it so, a worker, an operator or a
-- reconciliation, it is stamped here.
alter table payment add column delivered_at timestamptz;
create function payment_delivered() returns trigger language plpgsql as $$
begin
    new.delivered_at := coalesce(old.delivered_at, clock_timestamp());
    return new;
end $$;
create trigger payment_delivered before update of state on payment for each row
    when (new.state = 'delivered' and old.state <> 'delivered') execute function payment_delivered();
-- What was delivered to a payee in a period, in that order.
create index payment_delivered on payment (payee_id, delivered_at, number) where delivered_at is not null;

-- Registers of online payees hold what was delivered between two cut-offs. They are series of their own, without positions.
alter table series add column holds text not null default 'accepted' check (holds in ('accepted', 'delivered'));
-- Looked for with every look at what is due, among all the others.
create index series_delivered on series (series_id) where holds = 'delivered';
alter table register
    drop constraint register_check,
    add constraint register_period check (kind <> 'copy' or (period_from is not null and period_to is not null));

-- A list of a payee and the period it is about.
create table reconciliation (
    reconciliation_id uuid primary key,
    payee_id    text not null,
    from_at     timestamptz not null,
    to_at       timestamptz not null,
    source      text not null check (source in ('list', 'file')),
    asked_by    text not null,
    -- When the payee was asked for its first page. What it did not know then was not credited before.
    begun_at    timestamptz not null default clock_timestamp(),
    -- When all of it was there; null = it broke off, and nothing follows from it.
    complete_at timestamptz,
    items       bigint,
    check (from_at < to_at),
    check ((complete_at is null) = (items is null))
);
create index reconciliation_payee on reconciliation (payee_id, begun_at);

create table reconciliation_item (
    reconciliation_id  uuid not null references reconciliation on delete cascade,
    number             bigint not null,
    line               bigint not null,
    amount             bigint not null,
    currency           text not null,
    credited_at        timestamptz,
    provider_reference text,
    primary key (reconciliation_id, number, line)
);
-- What one list lacks, or has under another name, is looked for on all others of its payee.
create index reconciliation_item_number on reconciliation_item (number);
