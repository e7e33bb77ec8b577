//! The receiver against real databases: a SQLite file and a PostgreSQL database per test, in process through its router,
//! and once as the program itself, killed in the middle.

mod away;
mod bodies;
mod exercise;
mod once;
mod program;
mod signatures;
mod stand;
mod statements;
