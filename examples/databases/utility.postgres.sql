create table customers (
    account   text primary key,
    name      text not null,
    address   text not null,
    debt      numeric(12,2) not null default 0,
    closed_on date
);
create table meters (
    account text primary key references customers,
    reading integer not null,
    read_at timestamptz
);
create table payments (
    number       bigint primary key,
    account      text not null references customers,
    amount       numeric(12,2) not null check (amount > 0),
    paid_at      timestamptz not null,
    entered_at   timestamptz not null default now(),
    cancelled_at timestamptz,
    reason       text
);
insert into customers values ('100200300', 'Иванов Иван Иванович', 'ул. Речная, 5, кв. 12', 1250.40, null),
    ('100200301', 'Петрова Анна', 'ул. Речная, 5, кв. 13', 0, null),
    ('100200302', 'Сидоров Пётр', 'ул. Речная, 5, кв. 14', 10, '2025-01-31');
insert into meters values ('100200300', 123, null), ('100200301', 77, null), ('100200302', 5, null);
