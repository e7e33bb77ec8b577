//! Registers against a real PostgreSQL, one database per test.

mod building;
mod closing;
mod copies;
mod delivered;
mod layouts;
mod outages;
mod parts;
mod rebuild;
mod series;
mod stand;
