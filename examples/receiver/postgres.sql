-- The tables of a small internet provider, as its billing might have them. Amounts are in roubles.
create table if not exists subscribers (
    account text primary key,
    name    text not null,
    balance numeric(12, 2) not null default 0,
    closed  boolean not null default false
);

create table if not exists payments (
    id          bigint generated always as identity primary key,
    number      bigint not null,
    account     text not null references subscribers,
    amount      numeric(12, 2) not null,
    paid_at     timestamp not null,
    payer       text,
    credited_at timestamptz not null default clock_timestamp(),
    cancelled   boolean not null default false
);

insert into subscribers (account, name, balance, closed) values
    ('1001', 'Ivan Ivanov', -125.50, false),
    ('1002', 'Мария Петрова', 30.00, false),
    ('1003', 'Olga Smirnova', 0, true)
on conflict do nothing;
