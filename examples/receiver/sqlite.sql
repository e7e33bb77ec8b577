-- The tables of a small internet provider, as its billing might have them. Amounts are in kopecks.
create table if not exists subscribers (
    account text primary key,
    name    text not null,
    balance integer not null default 0
);

create table if not exists payments (
    id        integer primary key,
    number    integer not null,
    account   text not null references subscribers,
    amount    integer not null,
    paid_at   text not null,
    payer     text,
    cancelled integer not null default 0
);

insert or ignore into subscribers (account, name, balance) values
    ('1001', 'Ivan Ivanov', -12550),
    ('1002', 'Мария Петрова', 3000),
    ('1003', 'Olga Smirnova', 0);
