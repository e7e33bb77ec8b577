-- The tables of a small internet provider, as its billing might have them. Amounts are in roubles. InnoDB, since only
-- that can be rolled back.
create table if not exists subscribers (
    account varchar(40) primary key,
    name    varchar(200) not null,
    balance decimal(12, 2) not null default 0
) engine = InnoDB default character set utf8mb4;

create table if not exists payments (
    id          bigint auto_increment primary key,
    number      bigint not null,
    account     varchar(40) not null,
    amount      decimal(12, 2) not null,
    paid_at     datetime not null,
    payer       varchar(500),
    credited_at datetime(6) not null default current_timestamp(6),
    cancelled   boolean not null default false,
    foreign key (account) references subscribers (account)
) engine = InnoDB default character set utf8mb4;

insert ignore into subscribers (account, name, balance) values
    ('1001', 'Ivan Ivanov', -125.50),
    ('1002', 'Мария Петрова', 30.00),
    ('1003', 'Olga Smirnova', 0);
