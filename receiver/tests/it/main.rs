//! The receiver against real databases: a SQLite file, a PostgreSQL or a MariaDB database per test, in process through its
//! router, and as the program itself, killed in the middle.

mod away;
mod bodies;
mod contention;
mod deployed;
mod doctor;
mod doubt;
mod exercise;
mod once;
mod program;
mod restarts;
mod signatures;
mod stand;
mod statements;
mod told;
mod types;
