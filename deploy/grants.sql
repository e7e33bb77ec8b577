-- Least rights in PostgreSQL: a role per worker, one for operators, one for those who only look.
--
-- A small installation needs none of this: one user that owns the database does everything. It is for installations
-- where a worker that was broken into must not be able to do the work of another.
--
-- How to use it:
--   createuser --pwprompt unigate_owner
--   createdb --owner=unigate_owner unigate
--   UNIGATE_DATABASE_URL=postgres://unigate_owner:...@host/unigate unigate migrate
--   psql --dbname=unigate --set=ON_ERROR_STOP=1 --file=deploy/grants.sql        as a superuser
-- and then, as often as there are processes:
--   create role intake_1 login password '...' in role unigate_intake;
-- A process that runs several workers gets a user that is in several roles. Migrations stay with unigate_owner.
--
-- Run it again after every `unigate migrate`: a new table has no rights until then. It takes away all that these roles
-- have and grants what is written here, in one transaction, so a right that is gone from this file is gone from the
-- database as well, and nobody is ever without rights in between.
--
-- `unigate doctor` works under each of these roles and says what the role does not let it look at; as unigate_operator, or as
-- unigate_owner, it looks at everything. `unigate cards vault` (all but `show`), and `cards import` where no cards worker runs,
-- open the vault as that worker does: they need its identity, and unigate_cards besides unigate_operator. Nobody else may write
-- to the vault; what was written to it without its identity is not opened.
--
-- A worker that lacks a right does not lose anything. It waits, says "permission denied" in its log, and goes on when the
-- right is there.
--
-- Four things to know when reading on:
--   Locking a row (SELECT ... FOR UPDATE or FOR SHARE) demands the right to update some column. Where a role only locks,
--   the column granted is one that nothing can be done with.
--   Columns are named where a role changes some and must not change others: no worker can alter an amount.
--   payment_view, payee_card, payee_version_card and the checks of foreign keys work with the rights of the tables' owner.
--   Nobody but the owner may delete what has happened; audit rows cannot even be changed.

\set workers 'unigate_intake, unigate_cards, unigate_unikassa, unigate_databases, unigate_registers, unigate_mailer'
\set all_roles :workers ', unigate_operator, unigate_readonly'

begin;

-- Roles belong to the whole server: another installation on it shares them.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['unigate_owner', 'unigate_intake', 'unigate_cards', 'unigate_unikassa',
                                  'unigate_databases', 'unigate_registers', 'unigate_mailer', 'unigate_operator', 'unigate_readonly'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I nologin', wanted);
        end if;
    end loop;
end $$;

-- Nobody else comes in, and nobody but the owner makes tables.
revoke all on database :"DBNAME" from public;
revoke create on schema public from public;
revoke all on all tables in schema public from :all_roles;
revoke all on all sequences in schema public from :all_roles;
revoke all on all functions in schema public from :all_roles;
revoke all on schema public from :all_roles;
revoke all on database :"DBNAME" from :all_roles;
grant connect on database :"DBNAME" to :all_roles;
grant usage on schema public to :all_roles;

-- ---------------------------------------------------------------------------------------------------- every worker
-- Events are written in the transaction of what happened and published by whichever process comes first.
grant select, insert, delete on event to :workers;
grant update (due_at) on event to :workers;

-- Alerts, likewise; one that waits is brought up to date.
grant select, insert on notice to :workers;
grant update (title, lines, mail_to, times, last_at) on notice to :workers;

-- Which installation this is: whoever keeps files outside of the database asks, and `doctor` does.
grant select on installation to :all_roles;
grant insert on installation to unigate_registers;

-- Declarations, where messages or payees are judged by them.
grant select on declaration_generation, payee, product, terminal, terminal_group, settled_content
    to unigate_intake, unigate_cards, unigate_unikassa, unigate_databases;
grant update (only_row) on declaration_generation
    to unigate_intake, unigate_cards, unigate_unikassa, unigate_databases;

-- Batches at work hold its lock, which a discard waits for: nobody else may take it.
grant insert on batch_gate to unigate_intake, unigate_cards;
grant delete on batch_gate to unigate_operator;

-- Facts that are refused: kept by the worker they came to, and handled again by it.
grant select, insert on parked to unigate_intake, unigate_cards;
grant select on settled_reservation to unigate_intake, unigate_cards;
grant update (state, reason, detail, refused_at, resolved_at, resolved_by, resolution) on parked to unigate_intake, unigate_cards;

-- ---------------------------------------------------------------------------------------------------------- intake
grant select, insert on payment_identity, revoked_besides to unigate_intake;
-- An id that only another terminal has revoked in advance is taken over by its payment.
grant update (number, fingerprint, disposition, terminal_id, accepted_at) on payment_identity to unigate_intake;
grant select, delete on dealt_number to unigate_intake;
grant usage on sequence payment_number to unigate_intake, unigate_unikassa;
grant select, insert on payment to unigate_intake;
grant select on payment_view to unigate_intake;
-- A revocation.
grant update (state, generation, next_act, due_at, step, not_found, give_up_at, revoke_reason, updated_at)
    on payment to unigate_intake;
-- Positions and their clock.
grant select on ledger to unigate_intake;
grant update (last_position, clock) on ledger to unigate_intake;
-- A revocation locks the series against closing.
grant select on series to unigate_intake;
grant update (series_id) on series to unigate_intake;

-- ----------------------------------------------------------------------------------------------------------- cards
grant select, insert on vault, vault_index_key, card_batch, card_case, card, card_identity, reservation, product_stock
    to unigate_cards;
grant update (last_pos, low, sold_settled, settled_until) on product_stock to unigate_cards;
grant update (state, pool, exposed, came_back_at, reservation_id, sealed, out_of_date, updated_at) on card to unigate_cards;
-- The vault: keys wrapped anew, cards indexed anew, keys forgotten, and who can open it.
grant update (vault_version, wrapped_key, reindexed_to, reindexed_at) on vault_index_key to unigate_cards;
grant update (vault_version, wrapped_key, forgotten_at, shredded_to, last_card) on card_batch to unigate_cards;
grant update (blind_index, index_version) on card_identity to unigate_cards;
grant select, insert, update, delete on vault_holder to unigate_cards;
-- Looks at secrets that were asked for; the answers are ciphertext.
grant select on disclosure, disclosure_card to unigate_cards;
grant update (state, lease_token, lease_until, finished_at, refusal, bytes, missing, cleared_at) on disclosure to unigate_cards;
grant select, insert, delete on disclosure_chunk to unigate_cards;
grant update (state, ended_at, ended_by, sale_fingerprint, paid_at, amount, receipt_number, late, surplus)
    on reservation to unigate_cards;
grant select on card_import to unigate_cards;
grant update (state, lease_token, lease_until, attempts, file_hash, rows_done, rows_total, added, duplicates, malformed, expired,
              report, finished_at) on card_import to unigate_cards;
grant select, delete on card_import_chunk to unigate_cards;
-- Cards of a file are gathered, numbered and compared in a table of the transaction before any of them is in stock.
grant temporary on database :"DBNAME" to unigate_cards;
grant usage on sequence card_card_id_seq to unigate_cards;
grant execute on function analyze_cards() to unigate_cards;
-- A card that does not open is faulty.
grant select, insert on card_fault to unigate_cards;
-- A terminal that has a limit is locked while it is counted.
grant select, insert on terminal_gate to unigate_cards;
grant update (terminal_id) on terminal_gate to unigate_cards;
-- Every card shown once more is in the audit log.
grant insert (who, act, subject_kind, subject, reason, allowed, before, after) on audit to unigate_cards;

-- -------------------------------------------------------------------------------------------------------- unikassa, databases
-- The same couriers work for both.
grant select on payment, attempt, lane, lane_slot to unigate_unikassa, unigate_databases;
grant update (state, next_act, due_at, step, attempts, maybes, not_found, last_call_at, last_error, flags,
              provider_reference, updated_at) on payment to unigate_unikassa, unigate_databases;
-- Operators' acts on many payments are carried on whatever became of the command that began them.
grant select on act, act_item to unigate_unikassa, unigate_databases;
grant update (state, done, changed, refused, done_as, reasons, reached, next_at, carried_by, carried_at, finished_at)
    on act to unigate_unikassa, unigate_databases;
grant update (outcome, did, why, ended_at) on act_item to unigate_unikassa, unigate_databases;
grant update (act_id, generation, give_up_at) on payment to unigate_unikassa, unigate_databases;
grant insert (who, act, subject_kind, subject, reason, allowed, before, after) on audit to unigate_unikassa,
    unigate_databases;
grant insert on attempt to unigate_unikassa, unigate_databases;
grant update (ending, ended_at, late, result, error, request, response, http_status, credited) on attempt to unigate_unikassa, unigate_databases;
grant update (breaker, failures, opened_at, probe_at, probe_count, last_error, question_waits_until, next_call_at,
              quiet_until, recovered_to, unpaid, rejected, hindered, hindered_by, hindered_at, wait_until)
    on lane to unigate_unikassa, unigate_databases;
grant update (token, lease_until) on lane_slot to unigate_unikassa, unigate_databases;
-- Numbers that payees are told at a check.
grant select on payment_identity, ledger, dealt_number to unigate_unikassa;
grant insert, update (dealt_at) on dealt_number to unigate_unikassa;

-- ------------------------------------------------------------------------------------------------------- registers
grant select on payee, payee_card, payee_version, payment, series, ledger to unigate_registers;
grant update (clock) on ledger to unigate_registers;
grant update (last_hi, last_sequence, last_cutoff, planned_version, next_cutoff, every_payments, late_since)
    on series to unigate_registers;
grant select, insert on register to unigate_registers;
grant update (state, lease_token, lease_until, due_at, attempts, vanished, last_error, built_at) on register to unigate_registers;
grant insert on register_part to unigate_registers;
grant select, insert, delete on artifact to unigate_registers;
grant update (sha256, bytes, place, lease) on artifact to unigate_registers;
grant insert on artifact_chunk to unigate_registers;
grant select, insert on mailing to unigate_registers;

-- ---------------------------------------------------------------------------------------------------------- mailer
-- What the mail says is of the version a register was closed under; how it goes out, of the payee as it is now.
grant select on mailing, register, register_part, series, payee, payee_version, artifact, artifact_chunk to unigate_mailer;
grant update (state, due_at, lease_token, lease_until, attempts, maybes, vanished, last_error, sent_at) on mailing to unigate_mailer;
grant select, insert on letter to unigate_mailer;
grant update (state, mailed_at, last_error) on register to unigate_mailer;
-- Whether payments wait for a register for too long: a mailer may be the one that notices.
grant select (payee_id, version, gateway, suspended, declaration) on payee to unigate_mailer;
grant select on payee_card to unigate_mailer;
grant select (payee_id, series_id, position, state, accepted_at, delivered_at) on payment to unigate_mailer;
grant update (late_since) on series to unigate_mailer;
-- And whether mails do not get out: a registers worker may be the one.
grant select, insert, delete on mailing_late to unigate_mailer, unigate_registers;
grant select, insert on notice_mail to unigate_mailer;
grant update (state, due_at, lease_token, lease_until, attempts, last_error, sent_at) on notice_mail to unigate_mailer;
grant update (gathered_at) on notice to unigate_mailer;
grant select on notice_pause to unigate_mailer;
-- And of what waits for a person, of which it tells.
grant select, insert, delete on notice_open to unigate_mailer;
grant update (told, told_at) on notice_open to unigate_mailer;
grant select (parked_id, parked_at, payment_id, reservation_id, reason, state) on parked to unigate_mailer;
grant select (payment_id, gateway, due_at) on payment to unigate_mailer;
grant select (payment_id, ending) on attempt to unigate_mailer;
grant select (payment_id, outcome) on act_item to unigate_mailer;
grant select (kind, opened_at, resolution) on card_case to unigate_mailer;
grant update (until) on notice_pause to unigate_mailer;

-- -------------------------------------------------------------------------------- operators: the command line
-- Whoever declares payees names files that workers read (file:), relays and hosts that they log in to, and programs that the registers
-- worker runs (with = "command"): trust this role as those who may log in to the workers' hosts, or say to the workers which files and
-- programs they may name (UNIGATE_DECLARED_PLACES).
-- Declaring: payees with their series and lanes, products, terminals.
grant select on declaration_generation, payee, payee_card, payee_version, payee_version_card, product, terminal, terminal_group, settled_content
    to unigate_operator;
grant update (generation) on declaration_generation to unigate_operator;
grant insert, update on payee, product, terminal, terminal_group to unigate_operator;
grant insert on payee_version to unigate_operator;
grant select, insert, update on series to unigate_operator;
grant select, insert on lane to unigate_operator;
grant update (slots, paused, held_by, held_at, held_reason, call_interval, quiet_until) on lane to unigate_operator;
grant select, insert, delete on lane_slot to unigate_operator;
-- Trying a profile takes a slot and a call of its payee's rate, like any other, and a number where checks tell one.
grant select on ledger to unigate_operator;
grant select, insert, update (dealt_at) on dealt_number to unigate_operator;
grant usage on sequence payment_number to unigate_operator;
grant update (question_waits_until, next_call_at, recovered_to) on lane to unigate_operator;
grant update (token, lease_until) on lane_slot to unigate_operator;
-- Looking at payments and putting them back to work.
grant select on payment, payment_view, payment_identity, attempt, event to unigate_operator;
grant update (state, generation, next_act, due_at, step, not_found, give_up_at, act_id, flags, updated_at)
    on payment to unigate_operator;
-- Acts on many of them: begun, carried out, held up, ended. Settling one by hand.
grant select, insert on act, act_item to unigate_operator;
grant update (state, matched, done, changed, refused, done_as, reasons, reached, next_at, carried_by, carried_at,
              finished_at, ended_by) on act to unigate_operator;
grant update (outcome, did, why, ended_at) on act_item to unigate_operator;
grant update (maybes, last_error, provider_reference) on payment to unigate_operator;
-- Payees' lists: asking for one (as a call of its lane), keeping it, and making delivered what is on it, which is an event.
grant select, insert, delete on reconciliation to unigate_operator;
grant update (complete_at, items) on reconciliation to unigate_operator;
grant select, insert, delete on reconciliation_item to unigate_operator;
grant update (last_error, provider_reference, flags) on payment to unigate_operator;
grant update (breaker, failures, opened_at, probe_at, probe_count, last_error, question_waits_until, unpaid, rejected,
              hindered, hindered_by, hindered_at, wait_until) on lane to unigate_operator;
grant update (token, lease_until) on lane_slot to unigate_operator;
grant insert on event to unigate_operator;
-- Parked facts: correcting, putting back, discarding (which leaves the id refused).
grant select on parked to unigate_operator;
-- Discarding a sale looks whether there is a reservation after all.
grant insert on settled_reservation, settled_content to unigate_operator;
grant update (state, corrected_body, vouched, resolved_at, resolved_by, resolution) on parked to unigate_operator;
grant insert on payment_identity to unigate_operator;
-- Payments of registers received: accepted as intake accepts them.
grant select on revoked_besides to unigate_operator;
grant update (number, fingerprint, disposition, terminal_id, accepted_at) on payment_identity to unigate_operator;
grant insert on payment to unigate_operator;
grant update (last_position, clock) on ledger to unigate_operator;
-- Registers: a look before, closing now, copies, building and mailing again, saving a file.
grant select on ledger to unigate_operator;
grant update (clock) on ledger to unigate_operator;
grant select, insert on register to unigate_operator;
-- Whom it is for, where a recipient is replaced or forgone; and the version it is built with, where it could not be built.
grant update (state, due_at, mail_to, payee_version) on register to unigate_operator;
grant select on mailing, register_part, artifact, artifact_chunk to unigate_operator;
grant update (state, due_at, attempts, give_up_at) on mailing to unigate_operator;
-- The identical file once more, also to somebody else.
grant insert on mailing to unigate_operator;
grant update (message_id, again, maybes, sent_at, first_sent_at, last_error) on mailing to unigate_operator;
-- A recipient replaced or forgone; a mail that nobody can have had, written anew; and the relay of a payee's declaration.
grant update (recipient, lane, maybes, lease_token, lease_until, vanished) on mailing to unigate_operator;
grant select (message_id), delete on letter to unigate_operator;
grant update (mailed_at, last_error) on register to unigate_operator;
-- Cards: handing files in, sealed to the vault; counting; setting aside. Not even ciphertext of cards can be read.
grant select on vault, vault_index_key, vault_holder, reservation, card_case, product_stock to unigate_operator;
grant select (batch_id, product_id, import_id, vault_version, created_at, forgotten_at) on card_batch to unigate_operator;
grant select (card_id, product_id, pos, batch_id, serial, expires_on, state, pool, exposed, came_back_at, reservation_id,
              out_of_date, updated_at, public_fields, face_value, price) on card to unigate_operator;
grant select (product_id, serial, card_id, index_version) on card_identity to unigate_operator;
grant update (state, updated_at) on card to unigate_operator;
grant insert (import_id, product_id, file_name, requested_by, good_rows, strict, again) on card_import to unigate_operator;
grant select (import_id, product_id, file_name, state, bytes, good_rows, strict, again, rows_done, rows_total, requested_by,
              requested_at, finished_at, added, duplicates, malformed, expired, report) on card_import to unigate_operator;
grant insert, delete on card_import_chunk to unigate_operator;
grant select (import_id, n) on card_import_chunk to unigate_operator;
-- And taking one back: cancelling, and one that is in stock by a function, which deletes nothing but cards as they came.
grant execute on function take_back_import(uuid, text) to unigate_operator;
grant update (bytes, state, finished_at, ended_by, lease_token, lease_until) on card_import to unigate_operator;
grant select (batch_id, product_id, created_at) on card_batch to unigate_operator, unigate_readonly;
-- After the sale: faulty cards, cases, and a card of the stock given in place of another. That is a sale; it leaves an audit row
-- and a case that names it.
grant select, insert on card_fault to unigate_operator;
grant insert (case_id, kind, reservation_id, card_id, opened_by, replacement_reservation_id) on card_case to unigate_operator;
grant update (resolution, resolved_at, resolved_by, note, replacement_reservation_id, refund_amount, refund_method,
              refund_reference) on card_case to unigate_operator;
grant update (exposed, reservation_id) on card to unigate_operator;
grant insert on reservation to unigate_operator;
-- Alerts: looking at them, and telling of a payee that is found down while its list is asked for.
grant select on notice, notice_mail to unigate_operator, unigate_readonly;
grant insert on notice to unigate_operator;
grant update (title, lines, mail_to, times, last_at) on notice to unigate_operator;
-- Asking to see a card, and returning unsold ones; the answers are sealed to whoever asked.
grant select on disclosure, disclosure_card, disclosure_chunk to unigate_operator;
grant insert (disclosure_id, kind, product_id, recipients, pgp_keys, reason, asked, requested_by, cards, total, currency)
    on disclosure to unigate_operator;
-- And asking for a return again, also for another issuer; a trigger keeps the recipient of a card that is shown.
grant update (state, refusal, finished_at, bytes, collected_at, cleared_at, recipients, pgp_keys, again_by, again_reason, again_at)
    on disclosure to unigate_operator;
grant insert on disclosure_card to unigate_operator;
-- Every act of a command leaves a row, and no row can be changed or taken away. `who` is what the operator calls himself; `login` and
-- `at` are the server's word. Give each operator a login of his own, and let nobody act by SQL: what this role may write it may also
-- write without a row.
grant select on audit to unigate_operator;
grant insert (who, act, subject_kind, subject, reason, allowed, before, after) on audit to unigate_operator;

-- ------------------------------------------------------------------------------ those who only look: support, reports
-- Not: declarations (a payee's secret may stand in one), anything of the vault, sealed cards, files of registers.
grant select on payment, payment_view, payment_identity, attempt, lane, lane_slot, ledger, series, register, register_part,
    mailing, artifact,
    reservation, card_case, card_fault, product_stock, audit, event, act, act_item,
    reconciliation, reconciliation_item to unigate_readonly;
grant select (payee_id, version, gateway, suspended, retired, updated_at) on payee to unigate_readonly;
-- Of declarations, who payees are and when their registers are closed.
grant select on payee_card, payee_version_card to unigate_readonly;
grant select on product, terminal, terminal_group, disclosure to unigate_readonly;
grant select (parked_id, parked_at, routing_key, payment_id, reservation_id, reason, detail, body, corrected_body,
              properties, vouched, state, refused_at, resolved_at, resolved_by, resolution) on parked to unigate_readonly;
grant select (card_id, product_id, pos, batch_id, serial, expires_on, state, pool, exposed, came_back_at, reservation_id,
              out_of_date, updated_at, public_fields, face_value, price) on card to unigate_readonly;
grant select (import_id, product_id, file_name, state, bytes, good_rows, strict, again, rows_done, rows_total, requested_by,
              requested_at, finished_at, added, duplicates, malformed, expired, report) on card_import to unigate_readonly;

-- Which migrations were applied; the table is the migrating program's own.
do $$
begin
    if to_regclass('refinery_schema_history') is not null then
        grant select on refinery_schema_history to unigate_operator, unigate_readonly;
    end if;
end $$;

commit;
