-- Mailings in lanes: a relay, or a directory, that is away holds up nobody else's. And mails that are the same to the byte
-- on every try, whatever changes meanwhile.

alter table mailing
    -- Through whose relay, or into which directory: '' is the installation's relay. It follows the payee's declaration, so
    -- that what waits goes where the payee says now.
    add column lane   text not null default '',
    -- Tries after which it may have been taken: the message had gone out, and no answer came.
    add column maybes integer not null default 0 check (maybes >= 0),
    -- So often in a row a lease ran out over it: whoever had it in hands was gone. Of what kills each mailer there is an end.
    add column vanished integer not null default 0 check (vanished >= 0),
    -- When a recipient whom the register is for (register.mail_to) had it first, kept while the row is that of a mail sent again
    -- on demand: `sent_at` is always of the latest. None for whom it was sent on demand only; before any of that, `sent_at` says it.
    add column first_sent_at timestamptz,
    add check (again > 0 or first_sent_at is null),
    -- An operator said that nothing more goes there: a register is not kept waiting for it.
    drop constraint mailing_state_check,
    add constraint mailing_state_check check (state in ('waiting', 'sending', 'sent', 'failed', 'forgone'));
drop index mailing_due;
create index mailing_due on mailing (lane, due_at) where state = 'waiting';
-- What a changed declaration has to put into another lane, under the lock of `apply`: of all that was ever mailed that is little.
create index mailing_open on mailing (register_id) where state in ('waiting', 'failed');

-- Everything of a mail but its file, frozen when it first goes out: every later try, by whatever process and version, to
-- whichever recipient, is made of these bytes and the file's.
create table letter (
    message_id text primary key,
    -- The sender, in the mail and of its envelope.
    mail_from  text not null,
    -- Before the file, up to the blank line after its headers; and after it.
    head       bytea not null,
    tail       bytea not null,
    written_at timestamptz not null default clock_timestamp()
);

-- Lanes of which people were told that mails do not get out, until none is late in them any more.
create table mailing_late (
    lane  text primary key,
    since timestamptz not null default clock_timestamp()
);

-- A mail of alerts is frozen with its sender, too.
alter table notice_mail add column mail_from text not null;

-- What a payee's declaration says of the mails of a series: its own, or what all have.
create function mail_profile(declaration jsonb, series text) returns jsonb immutable language sql as $$
    select coalesce(
        (select own -> 'mail' from jsonb_array_elements(declaration #> '{register,series}') own
         where own ->> 'name' = series),
        declaration #> '{register,mail}')
$$;

-- The same of the directory that its files are put into.
create function directory_profile(declaration jsonb, series text) returns jsonb immutable language sql as $$
    select coalesce(
        (select own -> 'directory' from jsonb_array_elements(declaration #> '{register,series}') own
         where own ->> 'name' = series),
        declaration #> '{register,directory}')
$$;

-- The lane of what goes to a recipient: a directory, a relay of the payee's own by all that makes it one, or the installation's.
create function mailing_lane(recipient text, declaration jsonb, series text) returns text immutable language sql as $$
    select case when recipient like 'directory:%' then recipient
                else concat_ws(' ', profile ->> 'relay', profile ->> 'relay_password', profile ->> 'relay_ca') end
    from (select mail_profile(declaration, series) as profile) found
$$;
