//! The journal's SQL, with the same named parameters as the administrator's. What differs between databases differs
//! only in how a moment is written and how a row is locked.

use ::sql::Dialect;

/// The statements that are not the same everywhere.
pub(super) struct Texts {
    pub(super) create: &'static str,
    pub(super) insert: &'static str,
    pub(super) find: &'static str,
    pub(super) accept: &'static str,
    pub(super) cancel: &'static str,
    pub(super) list: &'static str,
}

pub(super) const FIND_PAYMENT: &str = "select number from unigate_payment where payment_id = :payment_id";

pub(super) const REFUSE: &str = "
    update unigate_payment set state = 'refused', refused_reason = :reason, asked_at = :asked_at
     where number = :number";

pub(super) const DOUBT: &str =
    "update unigate_payment set state = 'in_doubt', refused_reason = :reason where number = :number";

pub(super) const HEAR: &str =
    "update unigate_payment set asked_at = :asked_at where number = :number and asked_at < :asked_at";

/// None where no journal is kept.
pub(super) fn texts(dialect: Dialect) -> Option<Texts> {
    match dialect {
        Dialect::Sqlite => Some(SQLITE),
        Dialect::Postgres => Some(POSTGRES),
        Dialect::Mysql => Some(MYSQL),
        Dialect::Odbc => None,
    }
}

const SQLITE: Texts = Texts {
    create: "
        create table if not exists unigate_payment (
            number             integer primary key not null,
            payment_id         text not null unique,
            account            text not null,
            amount             integer not null check (amount > 0),
            currency           text not null,
            paid_at            text not null,
            fields             text not null,
            state              text not null check (state in ('in_doubt', 'accepted', 'refused', 'cancelled')),
            provider_reference text,
            refused_reason     text,
            cancel_reason      text,
            asked_at           integer not null,
            entered_at         text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        );
        create index if not exists unigate_payment_entered_at on unigate_payment (entered_at);",
    insert: "
        insert into unigate_payment (number, payment_id, account, amount, currency, paid_at, fields, state, asked_at)
        values (:number, :payment_id, :account, :amount, :currency, :paid_at, :fields, 'in_doubt', :asked_at)
        on conflict do nothing",
    find: "
        select payment_id, account, amount, currency, paid_at, fields, state, provider_reference, refused_reason, asked_at
          from unigate_payment where number = :number",
    accept: "
        update unigate_payment
           set state = 'accepted', provider_reference = :provider_reference, refused_reason = null,
               asked_at = :asked_at, entered_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
         where number = :number",
    cancel: "update unigate_payment set state = 'cancelled', cancel_reason = :reason where number = :number",
    list: "
        select number, payment_id, account, amount, currency, paid_at, fields, state, provider_reference, refused_reason,
               asked_at, entered_at as credited_at
          from unigate_payment
         where state = 'accepted' and entered_at >= :from and entered_at < :to and number > :after
         order by number limit :limit",
};

const POSTGRES: Texts = Texts {
    create: "
        create table if not exists unigate_payment (
            number             bigint primary key,
            payment_id         uuid not null unique,
            account            text not null,
            amount             bigint not null check (amount > 0),
            currency           text not null,
            paid_at            timestamptz not null,
            fields             jsonb not null,
            state              text not null check (state in ('in_doubt', 'accepted', 'refused', 'cancelled')),
            provider_reference text,
            refused_reason     text,
            cancel_reason      text,
            asked_at           bigint not null,
            entered_at         timestamptz not null default clock_timestamp()
        );
        create index if not exists unigate_payment_entered_at on unigate_payment (entered_at);",
    insert: "
        insert into unigate_payment (number, payment_id, account, amount, currency, paid_at, fields, state, asked_at)
        values (:number, :payment_id, :account, :amount, :currency, :paid_at, :fields::jsonb, 'in_doubt', :asked_at)
        on conflict do nothing",
    find: r#"
        select payment_id, account, amount, currency, fields::text as fields, state, provider_reference, refused_reason,
               to_char(paid_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as paid_at, asked_at
          from unigate_payment where number = :number for update"#,
    accept: "
        update unigate_payment
           set state = 'accepted', provider_reference = :provider_reference, refused_reason = null,
               asked_at = :asked_at, entered_at = clock_timestamp()
         where number = :number",
    cancel: "update unigate_payment set state = 'cancelled', cancel_reason = :reason where number = :number",
    list: r#"
        select number, payment_id, account, amount, currency, fields::text as fields, state, provider_reference, refused_reason,
               to_char(paid_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as paid_at, asked_at,
               to_char(entered_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as credited_at
          from unigate_payment
         where state = 'accepted' and entered_at >= :from and entered_at < :to and number > :after
         order by number limit :limit"#,
};

/// A repeat counts itself in `repeats`: then MySQL reports one row for a new number and two for a known one, and whoever
/// finds a known one holds its lock alone. A refused insert, or one that does nothing, would leave all repeats sharing it,
/// and the next step would be a deadlock of all of them.
const MYSQL: Texts = Texts {
    create: "
        create table if not exists unigate_payment (
            number             bigint not null primary key,
            payment_id         char(36) character set ascii collate ascii_bin not null,
            account            varchar(200) not null,
            amount             bigint not null check (amount > 0),
            currency           char(3) not null,
            paid_at            datetime(6) not null comment 'UTC',
            fields             mediumtext not null,
            state              varchar(10) not null check (state in ('in_doubt', 'accepted', 'refused', 'cancelled')),
            provider_reference text,
            refused_reason     text,
            cancel_reason      text,
            asked_at           bigint not null,
            entered_at         datetime(6) not null comment 'UTC',
            repeats            int unsigned not null default 0,
            unique key unigate_payment_payment_id (payment_id),
            key unigate_payment_entered_at (entered_at)
        ) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin",
    insert: "
        insert into unigate_payment
               (number, payment_id, account, amount, currency, paid_at, fields, state, asked_at, entered_at)
        values (:number, :payment_id, :account, :amount, :currency, :paid_at, :fields, 'in_doubt', :asked_at,
                utc_timestamp(6))
        on duplicate key update repeats = repeats + 1",
    find: "
        select payment_id, account, amount, currency, fields, state, provider_reference, refused_reason, asked_at,
               date_format(paid_at, '%Y-%m-%dT%H:%i:%s.%fZ') as paid_at
          from unigate_payment where number = :number for update",
    accept: "
        update unigate_payment
           set state = 'accepted', provider_reference = :provider_reference, refused_reason = null,
               asked_at = :asked_at, entered_at = utc_timestamp(6)
         where number = :number",
    cancel: "update unigate_payment set state = 'cancelled', cancel_reason = :reason where number = :number",
    list: "
        select number, payment_id, account, amount, currency, fields, state, provider_reference, refused_reason, asked_at,
               date_format(paid_at, '%Y-%m-%dT%H:%i:%s.%fZ') as paid_at,
               date_format(entered_at, '%Y-%m-%dT%H:%i:%s.%fZ') as credited_at
          from unigate_payment
         where state = 'accepted' and entered_at >= :from and entered_at < :to and number > :after
         order by number limit :limit",
};
