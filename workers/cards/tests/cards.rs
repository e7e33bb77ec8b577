//! The cards worker on a real database: what its handlers answer and what they leave behind. The broker has no part in it.

mod disclosing;
mod expiring;
mod importing;
mod limits;
mod racing;
mod selling;
mod stand;
mod vaulting;
