//! Registers against a real PostgreSQL, one database per test.

mod building;
mod closing;
mod copies;
mod layouts;
mod parts;
mod series;
mod stand;
