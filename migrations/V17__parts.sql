-- Files of registers: one part or more of each, a file apiece, kept in the database or outside of it.

-- A payee may limit the rows or the size of a file. Every register has part 1; all its parts are recorded in one transaction
-- with the register, so parts of two builds never mix. Their counts and totals add up to those that were frozen.
create table register_part (
    register_id   uuid not null references register,
    part          integer not null check (part > 0),
    file_name     text not null,
    sha256        bytea not null references artifact (sha256),
    payment_count bigint not null check (payment_count >= 0),
    total         bigint not null check (total >= 0),
    primary key (register_id, part)
);
-- A file that somebody brings back is found by what it holds.
create index register_part_file on register_part (sha256);

-- What was built is in its parts; `built_at` says that they are there.
alter table register drop column file_name, drop column sha256, drop column bytes;
alter table register add check ((state = 'frozen') = (built_at is null) or state = 'failed');

-- Each part is a mail of its own.
alter table mailing add column part integer not null default 1;
alter table mailing drop constraint mailing_register_id_recipient_key;
alter table mailing
    add unique (register_id, part, recipient),
    add foreign key (register_id, part) references register_part;

-- While a file is being written it belongs to a build's lease. Whole, it lies in chunks here, or outside at `place`, under a
-- name made of its hash and its id.
alter table artifact
    add column lease uuid,
    add column place text,
    add check ((sha256 is null) = (lease is not null)),
    add check (place is null or sha256 is not null);
create index artifact_lease on artifact (lease) where lease is not null;
