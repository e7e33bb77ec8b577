//! Registers on their way to mailboxes and directories, against a real PostgreSQL and real SMTP servers.

mod directories;
mod lanes;
mod mails;
mod on_demand;
mod operators;
mod real_server;
mod stand;
mod vanished;
