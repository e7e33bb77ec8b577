create table clients (
    login   varchar(40) primary key,
    name    varchar(200) not null,
    balance decimal(12,2) not null default 0,
    blocked tinyint not null default 0
) character set utf8mb4;
create table payments_inbox (
    id        bigint auto_increment primary key,
    hash      char(64) not null unique,
    number    bigint not null,
    login     varchar(40) not null,
    amount    decimal(12,2) not null,
    paid_at   datetime not null,
    put_at    datetime not null default current_timestamp,
    processed tinyint not null default 0,
    error     varchar(200)
) character set utf8mb4;
insert into clients values ('ivanov-17', 'Иванов И. И.', 120.50, 0), ('blocked-1', 'Петров П. П.', 0, 1);
