-- Re-sends: copies in another format than the payee's own, and copies that hold payments not yet in a regular register.

alter table register
    -- The word of the format that a copy is written in; none = as the payee is declared.
    add column format     text,
    -- How many payments of a copy were in no regular register when it was frozen.
    add column open_count bigint not null default 0 check (open_count >= 0),
    add check (kind = 'copy' or (format is null and open_count = 0));

-- How often a mail was sent again on demand. Each time it has a Message-ID of its own, which then stays over retries.
alter table mailing add column again integer not null default 0 check (again >= 0);
