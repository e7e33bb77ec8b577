//! End to end, on the real RabbitMQ and PostgreSQL: messages in as front-ends publish them, and what comes of them.
//!
//! Every test has a database and a broker namespace of its own and runs beside all others. None sleeps: each waits for
//! what it expects, with a limit.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod architecture;
mod attempts;
mod batches;
mod card_expiry;
mod card_life;
mod cards;
mod cards_after_sale;
mod cards_late;
mod cards_limits;
mod cards_races;
mod cards_report;
mod cards_shown;
mod cards_stock;
mod cards_vault;
mod cards_vault_killed;
mod cli;
mod cli_aside;
mod cli_card_files;
mod cli_deliveries;
mod cli_lanes;
mod cli_lists;
mod cli_operator;
mod cli_registers;
mod cli_usage;
mod compose;
mod consuming;
mod couriers;
mod databases;
mod deliveries_acts;
mod deliveries_doubt;
mod deliveries_lanes;
mod demo;
mod dialects;
mod doctor;
mod events;
mod faults;
mod faults_broker;
mod faults_courier;
mod faults_stopped;
mod fixtures;
mod frontends;
mod hindered;
mod intake;
mod intake_terminals;
mod invariants;
mod lanes;
mod late_answer;
mod listener;
mod metrics;
mod parked;
mod places;
mod plans;
mod promises;
mod receivers;
mod reconciliation;
mod reconciliation_amounts;
mod reconciliation_lists;
mod registers;
mod registers_again;
mod registers_delivered;
mod registers_mail;
mod registers_parts;
mod registers_received;
mod registers_recipients;
mod registers_sealed;
mod registers_series;
mod restarts;
mod rights;
mod rights_cards;
mod rights_online;
mod slots;
mod templates;
mod traces;
mod transactions;
mod unikassa;
mod unikassa_down;
mod unroutable;
mod world;
